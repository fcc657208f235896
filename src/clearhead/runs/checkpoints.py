"""Checkpoints: everything that a training needs to go on, whole on disk or not there at all.

    checkpoints/step-00001000/
        model.safetensors       the weights, fp32
        optimizer.safetensors   the optimizer's tensors (may hold none)
        state.json              {"format": 1, "step": 1000, "state": {...}}, the numbers exact
        manifest.json           size and sha256 of the three

Of a model that is divided among processes each one writes a part, model-00001-of-00002.safetensors and so on, that
holds its rows of each tensor: in the order of their numbers they make up the whole along the first dimension.
A checkpoint is written beside its place and renamed into it. ``step-00001000.old`` is one that is just being replaced.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearhead.errors import ClearheadError, RunError
from clearhead.runs.faults import FaultsError, attempt
from clearhead.runs.files import (
    Stamp,
    check_stamp,
    disk_errors,
    make_folder,
    partial_path,
    read_json,
    remove,
    sync_folder,
    write_file,
)
from clearhead.runs.folder import MODEL, RunFolder
from clearhead.runs.manifest import MANIFEST, manifest_bytes, read_manifest
from clearhead.runs.tensors import as_fp32, check_finite, check_weights, read_tensors, tensor_bytes, tensor_chunks

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
FILES = (MODEL, OPTIMIZER, STATE)
_NAME = re.compile(r"step-(\d{8,})(\.old)?")
_PART = re.compile(r"-\d{5}-of-\d{5}(?=\.safetensors$)")


@dataclass(frozen=True)
class Checkpoint:
    """What a training goes on from.

    step: how many updates lie behind it.
    weights: name -> fp32 tensor; those of a checkpoint in parts are put together anew whenever they are asked for.
    optimizer: name -> tensor, likewise.
    state: what ``save_checkpoint`` was given.
    """

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
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
        TrainingError: a number is not finite; nothing is written.
    """
    begin_checkpoint(run, step)
    stamps = write_part(run, step, weights, optimizer)
    return finish_checkpoint(run, step, stamps, state)


def begin_checkpoint(run: RunFolder, step: int) -> None:
    """Make the folder beside the checkpoint's place that ``write_part`` writes into.

    Raises:
        MachineError: as ``save_checkpoint``.
    """
    partial = partial_path(checkpoint_path(run, step))
    with disk_errors(partial, 0, partial):
        make_folder(run.checkpoints_path)
        _clean(run.checkpoints_path)
        partial.mkdir()


def write_part(
    run: RunFolder,
    step: int,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    number: int = 0,
    count: int = 1,
) -> dict[str, Stamp]:
    """Write one process's tensors into the folder that ``begin_checkpoint`` made.

    Args:
        weights: name -> tensor, or its rows in this part; kept as fp32.
        optimizer: name -> tensor, or its rows in this part, kept as it is.
        number: which of the ``count`` parts this is, from 0.

    Returns:
        The stamps of the files, for ``finish_checkpoint``.

    Raises:
        MachineError: as ``save_checkpoint``.
        TrainingError: a number is not finite; nothing is written.
    """
    check_finite({**weights, **optimizer})
    place = checkpoint_path(run, step)
    partial = partial_path(place)
    weights = as_fp32(weights)
    with disk_errors(place, tensor_bytes(weights) + tensor_bytes(optimizer), partial):
        files = {MODEL: weights, OPTIMIZER: optimizer}
        return {
            part_name(name, number, count): write_file(partial / part_name(name, number, count), tensor_chunks(tensors))
            for name, tensors in files.items()
        }


def finish_checkpoint(run: RunFolder, step: int, stamps: Mapping[str, Stamp], state: dict[str, Any]) -> Path:
    """Write the state and the manifest of all parts, and give the checkpoint its name.

    Raises:
        MachineError: as ``save_checkpoint``.
    """
    text = json.dumps({"format": 1, "step": step, "state": state})
    assert repr(json.loads(text)["state"]) == repr(state), "the state is not made of JSON's own types"
    place = checkpoint_path(run, step)
    partial = partial_path(place)
    with disk_errors(place, len(text), partial):
        stamps = {**stamps, STATE: write_file(partial / STATE, [text.encode()])}
        write_file(partial / MANIFEST, [manifest_bytes({name: (stamp,) for name, stamp in stamps.items()})])
        sync_folder(partial)
        old = place.with_name(f"{place.name}.old")
        if place.exists():
            remove(old)
            os.rename(place, old)
        os.rename(partial, place)
        sync_folder(run.checkpoints_path)
        remove(old)
    return place


def part_name(name: str, number: int, count: int) -> str:
    """Return the name of part ``number`` of ``count``: model.safetensors, or model-00001-of-00002.safetensors."""
    stem, dot, end = name.partition(".")
    return name if count == 1 else f"{stem}-{number + 1:05d}-of-{count:05d}{dot}{end}"


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


def check_checkpoint(path: Path, names: Sequence[str] = FILES) -> dict[str, list[str]]:
    """Hold a checkpoint's files against its manifest.

    Args:
        path: the checkpoint's folder.
        names: which of MODEL, OPTIMIZER and STATE are wanted.

    Returns:
        Each name with the files that it lies in, in the order of its parts.

    Raises:
        FaultsError: lists every file that is missing or differs.
    """
    faults: list[ClearheadError] = []
    stamps = attempt(faults, read_manifest, path) or {}
    files: dict[str, list[str]] = {}
    for name in names if not faults else ():
        count = max(1, sum(_PART.sub("", listed) == name and listed != name for listed in stamps))
        files[name] = [part_name(name, number, count) for number in range(count)]
        for part in files[name]:
            if part in stamps:
                attempt(faults, check_stamp, path / part, stamps[part])
            else:
                faults.append(RunError("bad-manifest", name=MANIFEST, entry=part))
    if faults:
        raise FaultsError("bad-checkpoint", faults, path=path)
    return files


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint after checking that it is whole; of one in parts, the parts are put together.

    Raises:
        FaultsError: lists every file that is missing or differs.
        RunError: a file is not what it should be.
    """
    path = Path(path)
    files = check_checkpoint(path)
    content = read_json(path / STATE)
    if not (isinstance(content, dict) and type(content.get("step")) is int and isinstance(content.get("state"), dict)):
        raise FaultsError("bad-checkpoint", [RunError("file-foreign", name=STATE)], path=path)
    weights, optimizer = (_join([path / part for part in files[name]]) for name in (MODEL, OPTIMIZER))
    return Checkpoint(content["step"], weights, optimizer, content["state"])


class _Joined(Mapping[str, Tensor]):
    """The tensors of a file in parts, each put together along its first dimension when it is asked for.

    The parts are mapped, not read: of a model that no process can hold, each still finds its own rows.
    """

    def __init__(self, parts: Mapping[str, Sequence[Tensor]]) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Tensor:
        rows = self._parts[name]
        return rows[0] if len(rows) == 1 else torch.cat(list(rows))

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def _join(parts: Sequence[Path]) -> Mapping[str, Tensor]:
    """Return the tensors of one file, or of several, each put together along its first dimension.

    Raises:
        FaultsError: parts do not fit each other.
        RunError: a file holds no tensors.
    """
    if len(parts) == 1:
        return read_tensors(parts[0])
    rows: dict[str, list[Tensor]] = {}
    for part in parts:
        for name, tensor in read_tensors(part).items():
            of_name = rows.setdefault(name, [])
            if of_name and not (tensor.ndim and tensor.shape[1:] == of_name[0].shape[1:] and of_name[0].ndim):
                raise FaultsError("bad-checkpoint", [RunError("file-foreign", name=part.name)], path=part.parent)
            of_name.append(tensor)
    return _Joined(rows)


def prune(run: RunFolder, keep_last: int, protect: Collection[int] = (), step: int | None = None) -> None:
    """Remove all checkpoints but the ``keep_last`` newest and those of the steps in ``protect``.

    Args:
        step: where the training stands. Later checkpoints are damaged ones that it was resumed in front of: they do not
            count, lest they push out the whole ones, and are left until they are written anew.

    Raises:
        MachineError: the disk cannot be written.
    """
    assert keep_last > 0
    paths = [path for path in _checkpoints(run.checkpoints_path) if step is None or _step(path) <= step]
    gone = [path for path in paths[:-keep_last] if _step(path) not in protect]
    if gone:
        with disk_errors(gone[0], 0, partial_path(gone[0])):
            for path in gone:  # so that neither a kill nor a power loss leaves a half-removed one under a good name
                os.rename(path, partial_path(path))
            sync_folder(run.checkpoints_path)
    for path in gone:
        remove(partial_path(path))


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of several checkpoints' weights, summed in float64.

    Raises:
        FaultsError: a checkpoint is damaged, or its weights are not those of the first.
    """
    total: dict[str, Tensor] = {}
    for path in paths:
        weights = _join([path / part for part in check_checkpoint(path, [MODEL])[MODEL]])
        if not total:
            total = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in weights.items()}
        check_weights(weights, total)
        for name, tensor in weights.items():
            total[name] += tensor
    return {name: (tensor / len(paths)).float() for name, tensor in total.items()}


def stored_steps(run: RunFolder) -> list[int]:
    """Return the steps of the checkpoints that a run has, oldest first."""
    return [_step(path) for path in _checkpoints(run.checkpoints_path) if not path.name.endswith(".old")]


def stored_weights(run: RunFolder) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
    """Yield the step and the weights of each checkpoint that a run has, oldest first.

    Raises:
        FaultsError: a checkpoint is damaged.
    """
    for path in _checkpoints(run.checkpoints_path):
        if not path.name.endswith(".old"):
            yield _step(path), _join([path / part for part in check_checkpoint(path, [MODEL])[MODEL]])


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
