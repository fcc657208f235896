"""Weights in fewer bits on disk: bf16, or 8-bit whole numbers with scales. In memory they are fp32."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

Storage = Literal["fp32", "bf16", "int8"]
SCALE = ".scale"
"""What the scales of a tensor are called, behind its own name."""
LARGEST = 127
NARROW = 32
"""Where rows are shorter, scales of theirs would cost too much: a matrix of those has one for each column."""


def reduced(weights: Mapping[str, Tensor], storage: Storage) -> dict[str, Tensor]:
    """Return fp32 ``weights`` as they are stored.

    "int8": a matrix as whole numbers from -127 to 127, times a bf16 scale for each row (each column, where rows are
    short) that makes the largest of them 127, or 1 where they are such numbers already; what has one dimension, biases
    and norms, stays fp32. "bf16": everything rounded.
    """
    match storage:
        case "fp32":
            return dict(weights)
        case "bf16":
            return {name: weight.bfloat16() for name, weight in weights.items()}
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() < 2:
            stored[name] = weight
            continue
        along = 0 if weight.dim() == 2 and weight.shape[1] < NARROW else tuple(range(1, weight.dim()))
        scale = (weight.abs().amax(dim=along, keepdim=True) / LARGEST).bfloat16()
        if torch.equal(weight, weight.round().clamp(-LARGEST, LARGEST)):  # such numbers are names: none may change
            scale = torch.ones_like(scale)
        whole = weight / scale.float().clamp(min=torch.finfo(torch.float32).tiny)
        stored[name] = whole.round().clamp(-LARGEST, LARGEST).to(torch.int8)
        stored[name + SCALE] = scale
    return stored


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return stored weights in fp32; those that were fp32 are not copied."""
    weights: dict[str, Tensor] = {}
    whole = {name for name, tensor in stored.items() if tensor.dtype == torch.int8}
    for name, tensor in stored.items():
        if name in whole:
            weights[name] = tensor.float() * stored[name + SCALE].float()
        elif not _is_scale(name, whole):
            weights[name] = tensor.float()
    return weights


def wrong_storage(dtypes: Mapping[str, str], shapes: Mapping[str, list[int]]) -> str | None:
    """Return the first tensor that is stored in none of these ways; ``dtypes`` as safetensors names them."""
    whole = {name for name, dtype in dtypes.items() if dtype == "I8"}
    for name, dtype in dtypes.items():
        shape = shapes[name]
        fitting = ([*shape[:1], *[1] * (len(shape) - 1)], [1, *shape[1:2]])  # a scale for each row, or each column
        scaled = dtypes.get(name + SCALE) == "BF16" and shapes[name + SCALE] in fitting
        if _is_scale(name, whole) or dtype in ("F32", "BF16") or (name in whole and len(shape) > 1 and scaled):
            continue
        return name
    return None


def _is_scale(name: str, whole: Collection[str]) -> bool:
    """Whether a tensor holds the scales of another; ``whole``: those stored as whole numbers."""
    return name.endswith(SCALE) and name.removesuffix(SCALE) in whole
