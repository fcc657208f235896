"""Named tensors in a safetensors file: written as a stream, read and checked through the library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from clearhead.errors import RunError, TrainingError
from clearhead.runs.faults import FaultsError
from clearhead.runs.reduced import wrong_storage

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def tensor_chunks(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file: the header's length, the header, and each tensor.

    The library's own writer needs all bytes in memory once more (or writes where a full disk and a kill cannot be
    handled), hence this one. The largest elements come first, so that every tensor lies aligned.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    start = 0
    for name in names:
        tensor = tensors[name]
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Return how much room the tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def as_fp32(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in the number format that they are stored in."""
    places = {
        (tensor.untyped_storage().data_ptr(), tensor.storage_offset()) for tensor in weights.values() if tensor.numel()
    }
    assert len(places) == sum(tensor.numel() > 0 for tensor in weights.values()), (
        "a tied weight is given under two names"
    )
    return {name: tensor.detach().float() for name, tensor in weights.items()}


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that no tensor holds a NaN or an infinity, before any of them gets into a file.

    Raises:
        TrainingError: names the first that does.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise TrainingError("state-not-finite", tensor=name)


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Read a safetensors file (on the CPU the tensors are views of the mapped file until written to).

    Raises:
        RunError: it is not a safetensors file, or cannot be read.
    """
    try:
        return load_file(path, device=str(device))
    except SafetensorError as error:
        raise RunError("not-safetensors", name=path.name, problem=error) from error
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror or error) from error


def check_storage(path: Path) -> None:
    """Check by its header alone that a file holds weights in one of the ways of ``runs.reduced``.

    Raises:
        RunError: it is not a safetensors file, or a tensor has another number format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict
            dtypes = {name: each.get_dtype() for name, each in slices.items()}
            name = wrong_storage(dtypes, {name: each.get_shape() for name, each in slices.items()})
            if name is not None:
                raise RunError("wrong-storage", name=path.name, tensor=name, dtype=dtypes[name])
    except SafetensorError as error:
        raise RunError("not-safetensors", name=path.name, problem=error) from error
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror or error) from error


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that stored weights are a model's: the same names, each with the same shape.

    Args:
        found: the weights read.
        expected: the model's state dict.

    Raises:
        FaultsError: lists every missing, surplus and mis-shaped tensor.
    """
    faults: list[RunError] = []
    for name, tensor in expected.items():
        if name not in found:
            faults.append(RunError("tensor-missing", tensor=name, expected=tuple(tensor.shape)))
        elif found[name].shape != tensor.shape:
            shapes = {"found": tuple(found[name].shape), "expected": tuple(tensor.shape)}
            faults.append(RunError("tensor-shape", tensor=name, **shapes))
    for name, tensor in found.items():
        if name not in expected:
            faults.append(RunError("tensor-surplus", tensor=name, found=tuple(tensor.shape)))
    if faults:
        raise FaultsError("weights-differ", faults)
