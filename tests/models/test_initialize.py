"""Every weight's first value: from one table, keyed by seed and name."""

from __future__ import annotations

import math

import pytest
import torch

from clearhead.config import DecoderConfig, RecurrentConfig, TransformerConfig
from clearhead.models.build import build_model, load_weights, make_model, named_weights

CONFIG = TransformerConfig(d_model=64, d_ff=128, n_heads=4, n_encoder_layers=1, n_decoder_layers=2, tie="none")


def test_the_first_values_follow_the_table():
    weights = named_weights(build_model(CONFIG, 500, 400, seed=1))
    for name, weight in weights.items():
        if name.endswith("bias"):
            assert (weight == 0).all()
        elif name.endswith("norm.weight"):
            assert (weight == 1).all()
        elif "embedding" in name or name == "output.weight":
            assert weight.std() == pytest.approx(64**-0.5, rel=0.03)
        else:
            fan_out, fan_in = weight.shape
            gain = 2**-0.5 if name.split(".")[-2] in ("w_q", "w_k", "w_v") else 1.0
            limit = gain * math.sqrt(6 / (fan_in + fan_out))
            assert weight.abs().max() <= limit and weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.05), name


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_language_models_first_values_are_gpts(norm):
    """With what goes past the layers unnormalised (pre-norm), eight matrices add to it, each 8^-0.5 as large."""
    weights = named_weights(
        build_model(DecoderConfig(d_model=64, d_ff=256, n_heads=4, n_layers=4, norm=norm), 500, 500)
    )
    for name, weight in weights.items():
        if name.endswith(("bias", "norm.weight")):
            assert (weight == float(name.endswith("weight"))).all()
        else:
            adds = norm == "pre" and name.split(".")[-2] in ("w_o", "w_2")
            assert weight.std() == pytest.approx(0.02 * (8**-0.5 if adds else 1.0), rel=0.05), name


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_recurrent_models_first_values(cell):
    """Hidden to hidden each gate's matrix is a rotation; a forget gate starts open, every other sum at zero."""
    config = RecurrentConfig(cell=cell, d_model=32, attention="additive", attends="before")
    weights = named_weights(build_model(config, 50, 50, seed=1))
    hidden = [weight for name, weight in weights.items() if name.endswith("w_hidden")]
    assert len(hidden) == 2 * 3
    for weight in hidden:
        gates = weight.split(weight.shape[1])
        assert len(gates) == {"lstm": 4, "gru": 3, "rnn": 1}[cell]
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(len(gate)), atol=1e-5, rtol=0)
        assert len({gate[0, 0].item() for gate in gates}) == len(gates)
    for name, weight in weights.items():
        if name.endswith("bias_forget"):
            assert (weight == 1).all()
        elif "bias" in name:
            assert (weight == 0).all()
        elif "w_input" in name or "w_c" in name or "w_score" in name:
            limit = math.sqrt(6 / sum(weight.shape))
            assert weight.abs().max() <= limit and weight.std() == pytest.approx(limit / math.sqrt(3), rel=0.2), name
    assert any(name.endswith("bias_forget") for name in weights) == (cell == "lstm")


def test_a_weight_depends_on_seed_and_name_alone():
    one, other = (named_weights(build_model(CONFIG, 500, 400, seed=seed)) for seed in (1, 2))
    deeper = named_weights(build_model(CONFIG.model_copy(update={"n_encoder_layers": 3}), 500, 400, seed=1))
    for name, weight in one.items():
        assert torch.equal(weight, deeper[name])
        assert torch.equal(weight, other[name]) == (name.endswith("bias") or name.endswith("norm.weight"))
    first, second = (one[f"decoder.layers.{layer}.feed_forward.w_1.weight"] for layer in (0, 1))
    assert not torch.equal(first, second)


def test_weights_are_named_once_and_come_back():
    model = build_model(CONFIG.model_copy(update={"tie": "three-way"}), 50, 50, seed=1)
    weights = named_weights(model)
    assert "src_embedding.weight" in weights and "tgt_embedding.weight" not in weights
    assert {name for name in weights if "cross_attention.w_" in name and "layers.0" in name} == {
        f"decoder.layers.0.cross_attention.w_{letter}.{kind}" for letter in "qkvo" for kind in ("weight", "bias")
    }
    again = make_model(model.config, 50, 50)
    load_weights(again, weights)
    assert all(torch.equal(weight, named_weights(again)[name]) for name, weight in weights.items())


def test_on_the_meta_device_a_model_costs_nothing():
    with torch.device("meta"):
        huge = make_model(TransformerConfig(d_model=2**16, n_heads=8), 10**6, 10**6)
    assert named_weights(huge)["src_embedding.weight"].shape == (10**6, 2**16)
