"""Positions against the paper's formulas, dropout against its probabilities, feed-forward against torch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from clearhead.nn.dropout import Dropout, dropout
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.feed_forward import FeedForward
from clearhead.nn.positions import LearnedPositions, SinusoidalPositions, sinusoids


def test_pe_3_2_for_d_4_worked_by_hand():
    """PE(3, 2): 2i = 2, so the angle is 3 / 10000^(2/4) = 3 / 100, and its sine 0.03 - 0.03^3 / 6 = 0.0299955."""
    table = sinusoids(4, 4)
    assert table[3, 2] == pytest.approx(0.0299955, abs=1e-7)
    assert table[3].tolist() == pytest.approx([math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)], abs=1e-7)


@pytest.mark.parametrize("d_model", [6, 7, 512])
def test_every_position_follows_the_formulas(d_model):
    table = sinusoids(50, d_model)
    assert table.shape == (50, d_model)
    for pos in (0, 1, 17, 49):
        for j in range(d_model):
            angle = pos / 10000 ** ((j - j % 2) / d_model)
            assert table[pos, j] == pytest.approx(math.cos(angle) if j % 2 else math.sin(angle), abs=1e-6)


def test_a_shift_is_a_rotation():
    """PE(pos + k) is a linear function of PE(pos), the same for every pos (section 3.5)."""
    table = sinusoids(60, 8).double()
    shift = torch.linalg.lstsq(table[:40], table[7:47]).solution
    torch.testing.assert_close(table[:53] @ shift, table[7:60], atol=1e-5, rtol=0)


def test_positions_are_looked_up_by_place():
    places = torch.tensor([[3, 0], [9, 9]])
    assert torch.equal(SinusoidalPositions(10, 6)(places), sinusoids(10, 6)[places])
    learned = LearnedPositions(10, 6)
    with torch.no_grad():
        learned.table.normal_()
    assert torch.equal(learned(places), learned.table[places])


def test_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    for p in (0.1, 0.3, 0.5):
        y = dropout(torch.ones(401, 997), p)
        assert (y == 0).float().mean() == pytest.approx(p, abs=3e-3)
        assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)])
        assert y.mean() == pytest.approx(1.0, abs=5e-3)
    assert torch.equal(Dropout(0.5).eval()(y), y)


def test_dropout_is_a_function_of_the_generator_and_has_no_pattern():
    def draw(seed):
        torch.manual_seed(seed)
        return dropout(torch.ones(64, 1024), 0.5)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    y = draw(1).bool()
    for lag in (1, 2, 3, 4, 5, 1024, y.numel() // 2):  # four elements share a draw: they must not agree
        flat = y.flatten()
        assert (flat[lag:] == flat[:-lag]).float().mean() == pytest.approx(0.5, abs=0.01)


def test_dropout_sends_the_gradient_where_it_let_through():
    x = torch.randn(30, 30, requires_grad=True)
    y = dropout(x, 0.4)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0.0, 1 / 0.6))


def test_embeddings_are_scaled_by_the_square_root_of_the_width():
    embedding = TokenEmbedding(10, 16)
    with torch.no_grad():
        embedding.weight.normal_()
    torch.testing.assert_close(embedding(torch.tensor([3])), embedding.weight[3:4] * 4)


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_feed_forward_equals_its_formula(activation):
    torch.manual_seed(0)
    ffn, x = FeedForward(8, 16, activation), torch.randn(3, 5, 8)
    inner = x @ ffn.w_1.weight.T + ffn.w_1.bias
    inner = {"relu": lambda z: z.clamp(min=0), "gelu": F.gelu, "swiglu": lambda z: z * z.sigmoid()}[activation](inner)
    if activation == "swiglu":
        inner = inner * (x @ ffn.w_gate.weight.T + ffn.w_gate.bias)
    torch.testing.assert_close(ffn(x), inner @ ffn.w_2.weight.T + ffn.w_2.bias)
