"""Weights in fewer bits: how far they are off, and that a run folder with them is one like any other."""

from __future__ import annotations

import pytest
import torch

from clearhead.cli import run as cli
from clearhead.runs.folder import RunFolder
from clearhead.runs.reduced import reduced, restored
from clearhead.runs.tensors import tensor_bytes


def tensors():
    generator = torch.Generator().manual_seed(1)
    sizes = torch.tensor([1e-6, 0.02, 1.0, 300.0])
    return {
        "matrix": torch.randn(4, 64, generator=generator) * sizes[:, None],
        "narrow": torch.randn(50, 3, generator=generator) * sizes[:3],
        "deep": torch.randn(3, 2, 5, generator=generator),
        "zeros": torch.zeros(2, 3),
        "bias": torch.randn(7, generator=generator),
    }


def test_a_whole_number_is_at_most_half_a_step_off():
    weights = tensors()
    stored = reduced(weights, "int8")
    assert stored["matrix"].dtype == torch.int8 and stored["matrix.scale"].shape == (4, 1)
    assert stored["narrow.scale"].shape == (1, 3) and stored["deep.scale"].shape == (3, 1, 1)
    found = restored(stored)
    assert found.keys() == weights.keys() and torch.equal(found["bias"], weights["bias"])
    assert torch.equal(found["zeros"], weights["zeros"])
    for name in ("matrix", "narrow", "deep"):
        rows, difference = weights[name].flatten(1), (found[name] - weights[name]).flatten(1)
        if name == "narrow":
            rows, difference = rows.T, difference.T
        step = rows.abs().amax(dim=1, keepdim=True) / 127  # a scale of 8 bits of its own is 1/256 off at most
        assert (difference.abs() <= 0.51 * step + rows.abs() / 256).all()
        assert difference.abs().max() > 0


@pytest.mark.parametrize("storage", ["fp32", "bf16", "int8"])
def test_a_weight_that_is_called_a_scale_is_kept(storage):
    weights = {"norm.scale": torch.tensor([0.5, 2.0]), "norm.weight": torch.ones(2, 40)}
    again = restored(reduced(weights, storage))
    assert again.keys() == weights.keys() and torch.equal(again["norm.scale"], weights["norm.scale"])


def test_bf16_is_torchs_and_fp32_is_untouched():
    weights = tensors()
    found = restored(reduced(weights, "bf16"))
    assert all(torch.equal(found[name], weights[name].bfloat16().float()) for name in weights)
    assert restored(reduced(weights, "fp32"))["matrix"].data_ptr() == weights["matrix"].data_ptr()


@pytest.mark.parametrize(("storage", "share"), [("fp32", 1.0), ("bf16", 0.5), ("int8", 0.3)])
def test_a_folder_of_any_storage_opens_and_is_smaller(run, weights, tmp_path, storage, share):
    run.write_weights(weights(1))
    words = ["export", str(run.path), f"--out={tmp_path / 'small'}", "--to=clearhead", f"--weights={storage}"]
    assert cli([*words, "--set", "data.root=elsewhere"]) == 0
    small = RunFolder.open(tmp_path / "small")
    assert small.config.data.root == "elsewhere" and small.tokenizers().src.fingerprint == (
        run.tokenizers().src.fingerprint
    )
    expected = restored(reduced(run.weights(), storage))
    found = small.weights()
    assert all(weight.dtype == torch.float32 and torch.equal(weight, expected[name]) for name, weight in found.items())
    size = (small.path / "model.safetensors").stat().st_size
    assert size < share * tensor_bytes(found) + 10_000


def test_only_a_run_folder_has_fewer_bits(run, weights, tmp_path, capsys):
    run.write_weights(weights(1))
    assert cli(["export", str(run.path), f"--out={tmp_path / 'hf'}", "--weights=int8"]) == 2
    assert "--to clearhead" in capsys.readouterr().err
