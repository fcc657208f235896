"""Parts of the Transformer switched off or replaced: each does what its formula says, on every road."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from clearhead.config import DecoderConfig, EncoderConfig, TransformerConfig, make_config
from clearhead.data.batch import Batch
from clearhead.errors import ConfigError
from clearhead.kernels import library
from clearhead.models.build import build_model, load_weights, make_model, named_weights
from clearhead.models.transfer import transfer
from clearhead.nn.attention import MultiHeadAttention
from clearhead.nn.batch_norm import MOMENTUM, BatchNorm
from clearhead.nn.layers import LayerShape
from clearhead.nn.positions import make_positions

from .test_transformer import V, batch, make

VARIANTS = [
    *({"positions": positions} for positions in ("none", "counted", "normalised")),
    *({"norm": norm} for norm in ("none", "batch")),
    *({"residual": False, "norm": norm} for norm in ("post", "pre")),
    {"n_heads": 1},
    {"attention_scale": False},
    {"causal_mask": False},
]


def said(variant) -> str:
    return ",".join(f"{key}={value}" for key, value in variant.items())


def with_statistics(model):
    """Running statistics as after some training."""
    for name, buffer in model.named_buffers():
        if name.endswith(("norm.mean", "norm.variance")):
            buffer.add_(torch.rand(buffer.shape, generator=torch.Generator().manual_seed(len(name))))
    return model


@pytest.mark.parametrize("variant", VARIANTS, ids=said)
def test_steps_with_a_cache_equal_teacher_forcing(variant):
    model, b = with_statistics(make(**variant)), batch(tgt_lengths=(6, 6, 6))
    sighted = model
    if not model.config.causal_mask:  # in decoding nothing is there to be seen: as with the mask
        model = with_statistics(make())
        assert not torch.allclose(sighted(b), model(b), atol=0.1)
    state, hidden = sighted.start(sighted.encode(b.src, b.src_mask), 6), []
    for tokens in b.tgt_input.split((3, 1, 2), dim=1):
        out, state = sighted.step(tokens, state)
        hidden.append(out)
    torch.testing.assert_close(torch.cat(hidden, 1), model(b), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=said)
def test_each_variant_is_another_network_and_comes_back_from_its_weights(variant):
    model, b = with_statistics(make(**variant)), batch()
    assert not torch.allclose(model(b)[b.tgt_mask], make()(b)[b.tgt_mask], atol=0.02)
    again, taker = (make_model(model.config, V, V).eval() for _ in range(2))
    weights = named_weights(model)
    load_weights(again, weights)
    assert torch.equal(again(b), model(b))
    assert not transfer(taker, weights).left and torch.equal(taker(b), model(b))


@pytest.mark.parametrize("variant", VARIANTS, ids=said)
def test_padding_changes_nothing_and_the_future_is_seen_by_the_cheat_alone(variant):
    for model in (with_statistics(make(**variant)), with_statistics(make(**variant, dropout=0.0)).train()):
        b = batch()
        src, tgt = torch.where(b.src_mask, b.src, 9), torch.where(b.tgt_mask, b.tgt_input, 9)
        junk = Batch(src, b.src_mask, tgt, b.tgt_output, b.tgt_mask)
        torch.testing.assert_close(model(b)[b.tgt_mask], model(junk)[b.tgt_mask], atol=1e-6, rtol=0)
        model.eval()
        later = batch(tgt_lengths=(6, 6, 6))
        changed = later.tgt_input.clone()
        changed[:, 4:] = (changed[:, 4:] + 5) % V
        other = Batch(later.src, later.src_mask, changed, later.tgt_output, later.tgt_mask)
        assert torch.equal(model(later)[:, :4], model(other)[:, :4]) == model.config.causal_mask


@pytest.mark.parametrize("variant", [{}, *VARIANTS], ids=said)
def test_our_kernels_leave_out_what_is_to_be_left_out(variant):
    """In training, with gradients: the kernels' road against PyTorch's own operations."""
    model, b = make(**variant, dropout=0.0).train(), batch()
    results = []
    for load in (lambda: None, library.load):
        load()
        model.zero_grad()
        hidden = model(b)[b.tgt_mask]
        hidden.square().mean().backward()
        results.append((hidden, [weight.grad for weight in model.parameters() if weight.grad is not None]))
    if library.loaded() is None:
        pytest.skip("no compiler, no kernels")
    torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-3)


def test_without_scaling_the_scores_are_the_plain_products():
    torch.manual_seed(0)
    attention, x = MultiHeadAttention(8, 2, scaled=False), torch.randn(2, 5, 8)
    q, k, v = (
        linear(x).unflatten(-1, (2, 4)).transpose(1, 2) for linear in (attention.w_q, attention.w_k, attention.w_v)
    )
    heads = (q @ k.transpose(-2, -1)).softmax(-1) @ v
    torch.testing.assert_close(attention(x, x), attention.w_o(heads.transpose(1, 2).flatten(2)))


@pytest.mark.parametrize("placement", ["post", "pre", "none", "batch"])
@pytest.mark.parametrize("adds", [True, False])
def test_add_and_norm_follows_its_formula(placement, adds):
    torch.manual_seed(0)
    shape = LayerShape(8, 16, 2, placement, "relu", 0.0, 0.0, 0.0, residual=adds)
    residual, sublayer, x = shape.add_and_norm(), nn.Linear(8, 8), torch.randn(2, 5, 8)
    plain = (lambda y: y) if placement == "none" else lambda y: (y - y.mean(dims, keepdim=True)) / (
        y.var(dims, unbiased=False, keepdim=True) + 1e-5
    ).sqrt()  # fmt: skip
    dims = (0, 1) if placement == "batch" else (2,)
    if placement == "batch":
        nn.init.ones_(residual.norm.weight)
        nn.init.zeros_(residual.norm.bias)
    kept = x if adds else 0.0
    expected = kept + sublayer(plain(x)) if placement == "pre" else plain(kept + sublayer(x))
    torch.testing.assert_close(residual(x, sublayer, torch.ones(2, 5, dtype=torch.bool)), expected)


def test_batch_norm_forgets_what_is_not_finite():
    norm, x = BatchNorm(4), torch.randn(2, 3, 4)
    norm(x)
    before = norm.mean.clone(), norm.variance.clone()
    for number in (torch.nan, torch.inf):
        x[0, 0, 0] = number
        norm(x)
        assert torch.equal(norm.mean, before[0]) and torch.equal(norm.variance, before[1])


def test_batch_norm_counts_tokens_only_and_remembers():
    torch.manual_seed(0)
    ours, theirs = BatchNorm(4), nn.BatchNorm1d(4, momentum=MOMENTUM)
    nn.init.ones_(ours.weight)
    nn.init.zeros_(ours.bias)
    is_token = torch.tensor([[True, True, False], [True, False, False]])
    for _ in range(3):
        x = torch.randn(2, 3, 4) + 2.0
        y = ours(x, is_token)
        torch.testing.assert_close(y[is_token], theirs(x[is_token]))
        assert not y[~is_token].any()
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    torch.testing.assert_close(ours.variance, theirs.running_var)
    x, one = torch.randn(2, 3, 4), torch.randn(1, 1, 4)
    torch.testing.assert_close(ours.eval()(x, is_token), theirs.eval()(x.flatten(0, 1)).view_as(x))
    torch.testing.assert_close(ours(one), theirs(one[0])[None])  # one position alone, as in decoding


def test_what_stands_in_for_positions():
    places = torch.tensor([[0, 3], [5, 9]])
    for kind, first in (("none", torch.zeros(2, 2)), ("counted", places.float()), ("normalised", places / 10)):
        found = make_positions(kind, 10, 4)(places)
        assert found.shape == (2, 2, 4) and not found[..., 1:].any()
        torch.testing.assert_close(found[..., 0], first)


def test_one_kind_of_model_alone_can_be_taken_apart():
    for config in (EncoderConfig, DecoderConfig):
        assert not {"residual", "attention_scale", "causal_mask"} & config.model_fields.keys()
    with pytest.raises(ConfigError, match=r"model\.norm"):
        make_config({"task": "language-model", "model": {"kind": "decoder", "norm": "batch"}})


def test_sizes_without_scaling_grow_as_the_paper_says():
    """Section 3.2.1, footnote 4: of independent numbers of variance 1 the products have variance d_k."""
    torch.manual_seed(0)
    scaled, plain = (MultiHeadAttention(64, 1, scaled=scaled) for scaled in (True, False))
    plain.load_state_dict(scaled.state_dict())
    x = torch.randn(2, 5, 64)
    torch.testing.assert_close(plain.queries(x), scaled.queries(x) * math.sqrt(64))


def test_weights_of_a_variant_start_from_the_table():
    weights = named_weights(build_model(TransformerConfig(d_model=8, n_heads=2, norm="batch"), V, V))
    assert all((weight == 1).all() for name, weight in weights.items() if name.endswith(("norm.weight", "variance")))
    assert all((weight == 0).all() for name, weight in weights.items() if name.endswith(("norm.bias", "norm.mean")))
    assert not any("norm" in name for name in named_weights(make(norm="none")))
