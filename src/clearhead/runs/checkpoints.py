"""Checkpoints: everything that a training needs to go on, whole on disk or not there at all.

    checkpoints/step-00001000/
        model.safetensors       the weights, fp32
        optimizer.safetensors   the optimizer's tensors (may hold none)
        state.json              {"format": 1, "step": 1000, "state": {...}}, the numbers exact
        manifest.json           size and sha256 of the three

A checkpoint is written beside its place and renamed into it. ``step-00001000.old`` is one that is just being replaced.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearhead.errors import ClearheadError, RunError
from clearhead.runs.faults import FaultsError, attempt
from clearhead.runs.files import check_stamp, disk_errors, partial_path, read_json, remove, sync_folder, write_file
from clearhead.runs.folder import MODEL, RunFolder
from clearhead.runs.manifest import MANIFEST, manifest_bytes, read_manifest
from clearhead.runs.tensors import as_fp32, check_weights, read_tensors, tensor_bytes, tensor_chunks

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
FILES = (MODEL, OPTIMIZER, STATE)
_NAME = re.compile(r"step-(\d{8,})(\.old)?")


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from.

    step: how many updates lie behind it.
    weights: name -> fp32 tensor.
    optimizer: name -> tensor.
    state: what ``save_checkpoint`` was given.
    """

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    run: RunFolder, step: int, weights: Mapping[str, Tensor], optimizer: Mapping[str, Tensor], state: dict[str, Any]
) -> Path:
    """Write a checkpoint; a kill at any instant leaves all former ones as they were.

    Args:
        run: the run it belongs to.
        step: how many updates lie behind it.
        weights: name -> tensor, each parameter once; kept as fp32.
        optimizer: name -> tensor, kept as it is.
        state: JSON's own types only (str keys, lists); floats come back exactly, inf and nan too.

    Returns:
        The checkpoint's folder.

    Raises:
        MachineError: the disk is full or cannot be written; nothing is left of this checkpoint then.
    """
    text = json.dumps({"format": 1, "step": step, "state": state})
    assert repr(json.loads(text)["state"]) == repr(state), "the state is not made of JSON's own types"
    weights = as_fp32(weights)
    place = checkpoint_path(run, step)
    partial = partial_path(place)
    with disk_errors(place, tensor_bytes(weights) + tensor_bytes(optimizer) + len(text), partial):
        run.checkpoints_path.mkdir(exist_ok=True)
        _clean(run.checkpoints_path)
        partial.mkdir()
        stamps = {
            MODEL: (write_file(partial / MODEL, tensor_chunks(weights)),),
            OPTIMIZER: (write_file(partial / OPTIMIZER, tensor_chunks(optimizer)),),
            STATE: (write_file(partial / STATE, [text.encode()]),),
        }
        write_file(partial / MANIFEST, [manifest_bytes(stamps)])
        sync_folder(partial)
        old = place.with_name(f"{place.name}.old")
        if place.exists():
            remove(old)
            os.rename(place, old)
        os.rename(partial, place)
        sync_folder(run.checkpoints_path)
        remove(old)
    return place


def checkpoint_path(run: RunFolder, step: int) -> Path:
    """Return where the checkpoint of ``step`` lies, if there is one."""
    return run.checkpoints_path / f"step-{step:08d}"


def latest_checkpoint(run: RunFolder) -> tuple[Path | None, list[RunError]]:
    """Find the newest whole checkpoint.

    Returns:
        Its folder (None where there is no whole one), and for each newer one that is damaged what is wrong with it.
    """
    damaged: list[RunError] = []
    for path in reversed(_checkpoints(run.checkpoints_path)):
        try:
            check_checkpoint(path)
        except RunError as error:
            damaged.append(error)
        else:
            return path, damaged
    return None, damaged


def check_checkpoint(path: Path, names: Sequence[str] = FILES) -> None:
    """Hold a checkpoint's files against its manifest.

    Raises:
        FaultsError: lists every file that is missing or differs.
    """
    faults: list[ClearheadError] = []
    stamps = attempt(faults, read_manifest, path)
    for name in names:
        if stamps is None:
            break
        if name in stamps:
            attempt(faults, check_stamp, path / name, stamps[name])
        else:
            faults.append(RunError("bad-manifest", name=MANIFEST, entry=name))
    if faults:
        raise FaultsError("bad-checkpoint", faults, path=path)


def load_checkpoint(path: Path | str, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint after checking that it is whole.

    Raises:
        FaultsError: lists every file that is missing or differs.
        RunError: a file is not what it should be.
    """
    path = Path(path)
    check_checkpoint(path)
    content = read_json(path / STATE)
    if not (isinstance(content, dict) and type(content.get("step")) is int and isinstance(content.get("state"), dict)):
        raise FaultsError("bad-checkpoint", [RunError("file-foreign", name=STATE)], path=path)
    weights, optimizer = (read_tensors(path / name, device) for name in (MODEL, OPTIMIZER))
    return Checkpoint(content["step"], weights, optimizer, content["state"])


def prune(run: RunFolder, keep_last: int, protect: Collection[int] = ()) -> None:
    """Remove all checkpoints but the ``keep_last`` newest and those of the steps in ``protect``."""
    assert keep_last > 0
    paths = _checkpoints(run.checkpoints_path)
    for path in paths[:-keep_last]:
        if _step(path) not in protect:
            os.rename(path, partial_path(path))  # so that a kill leaves no half-removed one under a good name
            remove(partial_path(path))


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of several checkpoints' weights, summed in float64.

    Raises:
        FaultsError: a checkpoint is damaged, or its weights are not those of the first.
    """
    total: dict[str, Tensor] = {}
    for path in paths:
        check_checkpoint(path, [MODEL])
        weights = read_tensors(path / MODEL)
        if not total:
            total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in weights.items()}
        check_weights(weights, total)
        for name, tensor in weights.items():
            total[name] += tensor
    return {name: (tensor / len(paths)).float() for name, tensor in total.items()}


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints under good names, oldest first; of the same step the one being replaced first."""
    paths = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)]
    return sorted(paths, key=lambda path: (_step(path), not path.name.endswith(".old")))


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found
    return int(found[1])


def _clean(folder: Path) -> None:
    """Remove what a killed save or prune has left, and finish or take back a killed replacement."""
    for path in folder.glob(".step-*.partial"):
        remove(path)
    for path in folder.glob("step-*.old"):
        place = path.with_suffix("")
        if place.exists():
            remove(path)
        else:
            os.rename(path, place)
