"""Folders of Hugging Face's Transformers: config.json, safetensors and a tokenizer, read and written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearhead.config import RunConfig, make_config
from clearhead.errors import ClearheadError, RunError, UsageError
from clearhead.interop.families import FAMILIES, Family, Head
from clearhead.interop.hub import PICKLES
from clearhead.interop.mapping import Row, in_halves, to_ours, to_theirs
from clearhead.interop.settings import expressing, pad_id, read_settings, write_settings
from clearhead.interop.vocabularies import decoder_start, languages, read_tokenizers, tokenizer_files
from clearhead.models.build import make_model, named_weights
from clearhead.runs.faults import FaultsError, attempt
from clearhead.runs.files import make_folder, read_json, replace_file
from clearhead.runs.tensors import check_weights, read_tensors, tensor_bytes, tensor_chunks
from clearhead.text.tokenizer import TokenizerPair

CONFIG = "config.json"
TENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
BIAS = "final_logits_bias"
TASKS = {
    "masked": "masked-language-model", "pooler": "masked-language-model", "none": "masked-language-model",
    "classifier": "classification", "decoder": "language-model", "transformer": "translation",
}  # fmt: skip
"""What a model with such a head is for."""
BOTH_ENDS = "<bos> $A <eos>"
TEMPLATES = dict.fromkeys(TASKS, BOTH_ENDS) | {"decoder": "<eos> $A", "transformer": "$A <eos>"}
"""What our own tokenizers make of a text for such a model."""


@dataclass(frozen=True)
class Imported:
    """A model from elsewhere in our terms: what a run folder is made of."""

    config: RunConfig
    weights: dict[str, Tensor]
    tokenizers: TokenizerPair


# --- reading ------------------------------------------------------------------------------------------------------


def read_folder(path: Path | str) -> Imported:
    """Read a model and its tokenizers.

    Raises:
        FaultsError: lists everything in the folder that is missing, wrong, or not to be expressed.
        RunError: no such folder, or not a family that is known.
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError("no-model-folder", path=path)
    settings = read_json(path / CONFIG)
    family, heads = _family(settings)
    faults: list[ClearheadError] = []
    tensors = attempt(faults, _read_tensors, path, family)
    tokenizers = attempt(faults, read_tokenizers, path, settings)
    there = tensors or {}
    head = next((head for head in heads if all(_is_there(row, there) for row in head.rows)), heads[-1])
    model = attempt(faults, read_settings, settings, family, head, BIAS in there)
    if model is None or tensors is None or tokenizers is None:
        raise FaultsError("bad-model-folder", faults, path=path)
    config = _run_config(head, model, settings, tokenizers)
    rows = [_bare(row) for row in family.rows(head, pad_id(settings))]
    with torch.device("meta"):
        shapes = named_weights(make_model(config.model, settings["vocab_size"], settings["vocab_size"]))
    expected = to_theirs(rows, shapes)
    ignored = "|".join(family.ignored)
    tensors = {name: x for name, x in tensors.items() if name in expected or not re.fullmatch(ignored, name)}
    try:
        check_weights(tensors, expected)
    except FaultsError as error:
        raise FaultsError("bad-model-folder", error.faults, path=path) from error
    return Imported(config, to_ours(rows, shapes, tensors), tokenizers)


def _is_there(row: Row, tensors: Mapping[str, Tensor]) -> bool:
    return _bare(row)[1].replace("*", "weight") in tensors


def _bare(row: Row) -> Row:
    """Return ``row`` with the family's base taken from their name."""
    ours, theirs, how = row
    return ours, theirs.replace("{base}", ""), how


def _family(settings: Any) -> tuple[Family, list[Head]]:
    """Return the family that config.json names and what may stand on its body."""
    name = settings.get("model_type") if isinstance(settings, dict) else None
    if name not in FAMILIES:
        raise RunError("unknown-family", value=name, known=", ".join(sorted(FAMILIES)))
    family = FAMILIES[name]
    named = settings.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    heads = [head for head in family.heads if architecture in head.architecture]
    if not heads:
        known = dict.fromkeys(name for head in family.heads for name in head.architecture)
        raise RunError("unknown-architecture", value=architecture, known=", ".join(known))
    return family, heads


def _read_tensors(path: Path, family: Family) -> dict[str, Tensor]:
    """Return the tensors by name without the family's base, each once."""
    faults: list[ClearheadError] = []
    found: dict[str, Tensor] = {}
    for part in tensor_files(path):
        found |= attempt(faults, read_tensors, part) or {}
    named: dict[str, Tensor] = {}
    for name, tensor in found.items():
        name = name.removeprefix(family.base)
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)  # as old files have it
        named[re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)] = tensor
    for first, *others in family.same:
        for other in others:
            copy = named.pop(other, None)
            if copy is not None and not torch.equal(named.setdefault(first, copy), copy):
                faults.append(RunError("tensor-not-tied", tensor=other, other=first))
    if faults:
        raise FaultsError("bad-tensors", faults)
    return named


def tensor_files(path: Path) -> list[Path]:
    """Return the files that the tensors lie in.

    Raises:
        RunError: there are none, or only pickled ones.
    """
    if (path / TENSORS).exists():
        return [path / TENSORS]
    if (path / INDEX).exists():
        index = read_json(path / INDEX)
        table = index.get("weight_map") if isinstance(index, dict) else None
        names = list(table.values()) if isinstance(table, dict) else []
        if not names or not all(isinstance(name, str) and name == Path(name).name for name in names):
            raise RunError("bad-manifest", name=INDEX, entry="weight_map")
        return [path / name for name in sorted(set(names))]
    for name in PICKLES:
        if (path / name).exists():
            raise RunError("pickled-weights", name=name)
    raise RunError("weights-missing", name=TENSORS)


def weights_sha256(path: Path) -> str:
    """Return the sha256 in hex of the files that hold the weights, one after the other."""
    digest = hashlib.sha256()
    for part in tensor_files(path):
        with open(part, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _run_config(head: Head, model: dict[str, Any], settings: Mapping[str, Any], tokenizers: TokenizerPair) -> RunConfig:
    return make_config(
        {
            "task": TASKS[head.form],
            "languages": languages(tokenizers),
            "data": {"max_tokens": model.get("body", model)["max_positions"]},
            "tokenizer": {
                "kind": "imported",
                "vocabulary_size": settings["vocab_size"],
                "joint": tokenizers.joint,
                "decoder_start": decoder_start(settings),
            },
            "model": model,
        },
        where=CONFIG,
    )


# --- writing ------------------------------------------------------------------------------------------------------


def write_folder(path: Path | str, config: RunConfig, weights: Mapping[str, Tensor], tokenizers: TokenizerPair) -> None:
    """Write a model as a folder that Transformers loads.

    Raises:
        FaultsError: lists what no family of theirs can express.
        UsageError: the folder holds something already; two vocabularies of ours.
        MachineError: the disk is full or cannot be written.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError("export-not-empty", path=path)
    family, head = expressing(config.model)
    base = "" if head.plain else family.base
    rows = [(ours, its.replace("{base}", base), how) for ours, its, how in family.rows(head, tokenizers.tgt.pad_id)]
    if getattr(config.model, "positions", "") == "sinusoidal":
        weights = in_halves(weights)
    tensors = to_theirs(rows, weights)
    if head.form == "transformer":
        tensors.setdefault(BIAS, torch.zeros(1, tokenizers.tgt.vocabulary_size))
    body: Any = getattr(config.model, "body", config.model)
    segments = getattr(body, "segments", 0) > 1
    files = tokenizer_files(tokenizers, TEMPLATES[head.form], body.max_positions, segments)
    settings = write_settings(family, head, config.model, tokenizers)
    files[CONFIG] = json.dumps(settings, ensure_ascii=False, indent=2) + "\n"
    make_folder(path)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        replace_file(path / name, [data], len(data))
    replace_file(path / TENSORS, tensor_chunks(tensors, {"format": "pt"}), tensor_bytes(tensors))
