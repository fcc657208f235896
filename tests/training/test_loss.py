"""The fused loss against PyTorch's on the whole matrix of logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from clearhead.training import loss as module
from clearhead.training.loss import linear_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows_a_chunk", [1, 3, 100])
def test_equals_torch(smoothing, rows_a_chunk, monkeypatch):
    n, d, v = 10, 8, 50
    monkeypatch.setattr(module, "CHUNK_BYTES", rows_a_chunk * 4 * v)
    torch.manual_seed(0)
    hidden, weight = torch.randn(n, d, requires_grad=True), torch.randn(v, d, requires_grad=True)
    targets = torch.randint(v, (n,))
    expected = F.cross_entropy(hidden @ weight.T, targets, label_smoothing=smoothing, reduction="sum") / 7
    plain = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    expected_grads = torch.autograd.grad(expected * 3, [hidden, weight])
    ours, ours_plain = linear_cross_entropy(hidden, weight, targets, smoothing, scale=1 / 7)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(ours_plain, plain.detach())
    torch.testing.assert_close(torch.autograd.grad(ours * 3, [hidden, weight]), expected_grads, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_bias_equals_torchs(smoothing, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 3 * 4 * 50)
    torch.manual_seed(0)
    hidden, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((10, 8), (50, 8), (50,)))
    targets = torch.randint(50, (10,))
    expected = F.cross_entropy(hidden @ weight.T + bias, targets, label_smoothing=smoothing, reduction="sum") / 7
    ours, plain = linear_cross_entropy(hidden, weight, targets, smoothing, 1 / 7, bias)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(plain, F.cross_entropy(hidden @ weight.T + bias, targets, reduction="sum").detach())
    grads = torch.autograd.grad(expected * 3, [hidden, weight, bias])
    torch.testing.assert_close(torch.autograd.grad(ours * 3, [hidden, weight, bias]), grads, atol=1e-5, rtol=1e-5)
    frozen = hidden.detach(), weight.detach()
    ours, _ = linear_cross_entropy(*frozen, targets, smoothing, 1 / 7, bias)
    torch.testing.assert_close(torch.autograd.grad(ours * 3, bias), grads[2:], atol=1e-5, rtol=1e-5)


def test_extreme_logits_stay_finite():
    hidden = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    weight = torch.eye(2).repeat(2, 1).requires_grad_()
    targets = torch.tensor([1, 1])
    ours, plain = linear_cross_entropy(hidden, weight, targets, 0.1)
    expected = F.cross_entropy(hidden @ weight.T, targets, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(ours, expected)
    ours.backward()
    assert hidden.grad.isfinite().all() and weight.grad.isfinite().all() and plain.isfinite()


def test_without_gradients_the_numbers_are_the_same():
    hidden, weight, targets = torch.randn(6, 4), torch.randn(9, 4), torch.arange(6)
    with_gradient = linear_cross_entropy(hidden.clone().requires_grad_(), weight, targets, 0.1)
    without = linear_cross_entropy(hidden, weight, targets, 0.1)
    assert [x.item() for x in with_gradient] == [x.item() for x in without]


def test_bf16_products_stay_close():
    torch.manual_seed(0)
    hidden, weight = torch.randn(20, 16, requires_grad=True), (torch.randn(40, 16) / 4).requires_grad_()
    targets = torch.randint(40, (20,))
    exact, _ = linear_cross_entropy(hidden, weight, targets, 0.1, 1 / 20)
    grads = torch.autograd.grad(exact, [hidden, weight])
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = linear_cross_entropy(hidden, weight, targets, 0.1, 1 / 20)
    rough_grads = torch.autograd.grad(rough, [hidden, weight])
    torch.testing.assert_close(rough, exact, rtol=1e-2, atol=0)
    for ours, theirs in zip(rough_grads, grads):
        assert (ours - theirs).norm() / theirs.norm() < 2e-2
