"""Our safetensors stream is the library's, and weights that are not a model's are all named."""

import json

import pytest
import safetensors.torch
import torch

from clearhead.runs.faults import FaultsError
from clearhead.runs.tensors import as_fp32, check_weights, read_tensors, tensor_bytes, tensor_chunks


def stream(tensors):
    return b"".join(bytes(chunk) for chunk in tensor_chunks(tensors))


def test_the_bytes_are_those_of_the_library(weights):
    tensors = {**weights(1), "이름": torch.arange(6.0).reshape(2, 3), "none": torch.zeros(0, 4)}
    assert stream(tensors) == safetensors.torch.save(tensors)


def test_every_tensor_lies_aligned():
    tensors = {"a": torch.ones(3).bool(), "b": torch.ones(3).bfloat16(), "c": torch.ones(1), "d": torch.tensor(1)}
    content = stream(tensors)
    length = int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8 : 8 + length]).items():
        assert (8 + length + entry["data_offsets"][0]) % tensors[name].element_size() == 0


@pytest.mark.parametrize("tensors", [
    {},
    {"a": torch.tensor(3), "b": torch.randn(5).bfloat16(), "c": torch.tensor([True, False, True]), "d": torch.ones(3)},
    {"t": torch.arange(12.0).reshape(3, 4).t(), "s": torch.arange(10.0)[::3], "u": torch.zeros(7, dtype=torch.uint8)},
    {"grad": torch.nn.Parameter(torch.ones(2, 2)), "half": torch.ones(3, dtype=torch.float16)},
])  # fmt: skip
def test_what_is_written_comes_back(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    path.write_bytes(stream(tensors))
    found = read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    assert tensor_bytes(found) == sum(len(bytes(chunk)) for chunk in list(tensor_chunks(tensors))[2:])


def test_every_wrong_tensor_is_named():
    expected = {"same": torch.zeros(2), "shape": torch.zeros(2, 3), "gone": torch.zeros(4), "lost": torch.zeros(())}
    found = {"same": torch.ones(2), "shape": torch.zeros(3, 2), "more": torch.zeros(1, 9)}
    check_weights(expected, expected)
    with pytest.raises(FaultsError) as caught:
        check_weights(found, expected)
    assert [(fault.code, fault.fields["tensor"]) for fault in caught.value.faults] == [
        ("tensor-shape", "shape"), ("tensor-missing", "gone"), ("tensor-missing", "lost"), ("tensor-surplus", "more"),
    ]  # fmt: skip
    assert "'shape' has the shape (3, 2), not (2, 3)" in caught.value.message("en")
    assert "'shape'의 모양이 (2, 3)이(가) 아니라 (3, 2)임" in caught.value.message("ko")


def test_weights_are_stored_as_fp32_and_once():
    assert as_fp32({"w": torch.ones(3, dtype=torch.bfloat16)})["w"].dtype == torch.float32
    weight = torch.ones(3)
    with pytest.raises(AssertionError, match="tied"):
        as_fp32({"one": weight, "other": weight})
    halves = torch.arange(4.0)
    as_fp32({"one": halves[:2], "other": halves[2:]})
