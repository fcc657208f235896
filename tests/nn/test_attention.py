"""Equation 1, multi-head attention and masks, against PyTorch's and by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clearhead.nn.attention import EXPLICIT_UP_TO, AttentionCore, MultiHeadAttention, scaled_dot_product_attention
from clearhead.nn.masks import causal_mask, padding_mask


def qkv(t=5, s=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, n, 4, generator=generator, requires_grad=True) for n in (t, s, s)]


def some_mask(t=5, s=7):
    mask = torch.rand(2, 1, t, s, generator=torch.Generator().manual_seed(1)) > 0.4
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize("mask", [None, some_mask()])
def test_equals_torch(mask):
    q, k, v = qkv()
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(output, F.scaled_dot_product_attention(q, k, v, mask))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 5))
    if mask is not None:
        assert (weights[~mask.expand_as(weights)] == 0).all()


def test_the_masked_softmax_of_i_am_a_student():
    """With the scores of each query being ln 1, ln 2, ln 3, ln 4, the causal rows are fractions worked by hand."""
    d_k = 4
    scores = torch.tensor([1.0, 2.0, 3.0, 4.0]).log()
    q = torch.ones(4, 1) * math.sqrt(d_k)  # so that q k^T / sqrt(d_k) are the scores
    q = torch.cat([q, torch.zeros(4, d_k - 1)], 1)
    k = torch.cat([scores[:, None], torch.zeros(4, d_k - 1)], 1)
    _, weights = scaled_dot_product_attention(q, k, torch.eye(4), causal_mask(4))
    expected = torch.tensor(
        [
            [1, 0, 0, 0],  # I
            [1 / 3, 2 / 3, 0, 0],  # am
            [1 / 6, 2 / 6, 3 / 6, 0],  # a
            [1 / 10, 2 / 10, 3 / 10, 4 / 10],  # student
        ]
    )
    torch.testing.assert_close(weights, expected)
    assert torch.equal(weights == 0, expected == 0)


def test_a_row_that_may_attend_to_nothing_gives_zeros_and_no_nan_gradient():
    q, k, v = qkv()
    mask = some_mask()
    mask[1, 0, 2] = False
    output, weights = scaled_dot_product_attention(q, k, v, mask)
    assert (output[1, :, 2] == 0).all() and (weights[1, :, 2] == 0).all()
    assert output.isfinite().all()
    output.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert (q.grad[1, :, 2] == 0).all() and (q.grad[0] != 0).any()


@pytest.mark.parametrize("keys", [EXPLICIT_UP_TO, EXPLICIT_UP_TO + 1])
def test_the_core_is_equation_1_on_each_of_its_paths(keys):
    q, k, v = qkv(t=3, s=keys)
    mask = torch.ones(2, 1, 3, keys, dtype=torch.bool)
    mask[0, 0, :, 5:] = False
    mask[1, 0, 1] = False
    expected, _ = scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(AttentionCore()(q, k, v, mask), expected, atol=1e-6, rtol=1e-5)


def test_multi_head_attention_equals_torch():
    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.w_q.weight, ours.w_k.weight, ours.w_v.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.w_q.bias, ours.w_k.bias, ours.w_v.bias]))
        theirs.out_proj.load_state_dict(ours.w_o.state_dict())
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    is_token = torch.arange(7) < torch.tensor([[7], [4]])
    expected, _ = theirs(x, memory, memory, key_padding_mask=~is_token)
    torch.testing.assert_close(ours(x, memory, padding_mask(is_token)), expected, atol=1e-5, rtol=1e-5)


def test_causal_mask():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert causal_mask(2, past=2).tolist() == [[True, True, True, False], [True, True, True, True]]
    assert torch.equal(causal_mask(3, past=4), causal_mask(7)[4:])
