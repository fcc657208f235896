"""The kernels against PyTorch's operations: the same values, gradients and dropout patterns."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clearhead.config import make_config
from clearhead.data.batch import Batch
from clearhead.device import choose_device
from clearhead.kernels import functions, library
from clearhead.models.build import build_model
from clearhead.nn.attention import AttentionCore, scaled_dot_product_attention
from clearhead.nn.dropout import drawing_from, dropout, keep_mask
from clearhead.training.loss import Seq2SeqLoss, cross_entropy_, linear_cross_entropy

KEY = 0x123456789ABCDEF1


@pytest.fixture(autouse=True)
def kernels() -> None:
    torch.manual_seed(0)
    library.load()
    if library.loaded() is None:
        pytest.skip("no compiler")


def agree(ours: Callable[[], Tensor], theirs: Callable[[], Tensor], *inputs: Tensor) -> None:
    """Both give the same, and so do the gradients of a loss that weighs every element otherwise."""
    found = []
    for compute in (ours, theirs):
        for tensor in inputs:
            tensor.grad = None
        out = compute()
        out.backward(torch.linspace(-1, 1, out.numel()).view_as(out))
        found.append([out.detach(), *(tensor.grad for tensor in inputs)])
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("mask", ["none", "padding", "causal", "any"])
@pytest.mark.parametrize(
    "shape", [(3, 2, 7, 7, 8), (2, 4, 33, 33, 32), (2, 1, 17, 17, 64), (5, 2, 1, 1, 3), (1, 2, 50, 50, 20)]
)
def test_attention(shape, mask, p):
    b, h, t, s, width = shape
    q, k, v = (torch.randn(b, n, h * width, requires_grad=True) for n in (t, s, s))
    masks = {
        "none": None,
        "padding": torch.arange(s) < torch.randint(0, s + 1, (b, 1, 1, 1)),
        "causal": torch.ones(t, s, dtype=torch.bool).tril(),
        "any": torch.rand(b, h, t, s) < 0.5,
    }

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (h, width)).transpose(1, 2)

    def theirs() -> Tensor:
        _, weights = scaled_dot_product_attention(heads(q), heads(k), heads(v), masks[mask])
        kept = keep_mask(weights.shape, p, KEY) / (1 - p) if p else 1.0
        return (weights * kept) @ heads(v)

    agree(lambda: functions.attention(heads(q), heads(k), heads(v), masks[mask], p, KEY), theirs, q, k, v)


def test_attention_over_a_memory_of_another_length_and_with_large_scores():
    q, k, v = torch.randn(2, 3, 5, 16), 40 * torch.randn(2, 3, 90, 16), torch.randn(2, 3, 90, 16)
    tensors = [x.requires_grad_() for x in (q, k, v)]
    agree(
        lambda: functions.attention(*tensors, None, 0.0, 0), lambda: scaled_dot_product_attention(*tensors)[0], *tensors
    )


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("shape", [(1,), (31,), (32,), (4, 1023), (3, 7, 64)])
def test_dropout_has_the_same_pattern(shape, p):
    x = torch.randn(shape, requires_grad=True)
    agree(lambda: functions.dropout(x, p, KEY), lambda: x * keep_mask(x.shape, p, KEY) / (1 - p), x)


def test_a_pattern_is_a_function_of_seed_and_place():
    x = torch.ones(64, 1024, requires_grad=True)

    def patterns(seed: int) -> list[Tensor]:
        with drawing_from(seed):
            return [dropout(x, 0.5).detach() for _ in range(3)]

    assert all(torch.equal(a, b) for a, b in zip(patterns(5), patterns(5)))
    three = [*patterns(5), *patterns(6)]
    for i, a in enumerate(three):
        for b in three[:i]:
            assert (a == b).float().mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("p", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(37, 18), (4, 5, 128), (2, 3), (6, 33)])
def test_add_and_norm(shape, p):
    x, y = (torch.randn(shape, requires_grad=True) for _ in range(2))
    norm = torch.nn.LayerNorm(shape[-1])
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    kept = keep_mask(y.shape, p, KEY) / (1 - p) if p else 1.0
    agree(lambda: functions.add_norm(x, y, norm, p, KEY), lambda: norm(x + y * kept), x, y, norm.weight, norm.bias)


def rounded(x: Tensor) -> Tensor:
    """Return x with the precision of bf16, as fp32."""
    return x.detach().bfloat16().float().requires_grad_()


def test_in_bf16_the_result_is_that_of_fp32_rounded():
    q, k, v = (rounded(torch.randn(2, 3, 21, 40)) for _ in range(3))
    x, y, norm = torch.randn(9, 50, requires_grad=True), rounded(torch.randn(9, 50)), torch.nn.LayerNorm(50)
    mask = torch.rand(2, 1, 21, 21) < 0.7
    for compute, others, halves in (
        (lambda q, k, v: functions.attention(q, k, v, mask, 0.2, KEY), [], [q, k, v]),
        (lambda y: functions.dropout(y, 0.2, KEY), [], [y]),
        (lambda y: functions.add_norm(x, y, norm, 0.2, KEY), [x, norm.weight], [y]),
    ):
        expected = compute(*halves)
        weigh = rounded(torch.linspace(-1, 1, expected.numel()).view_as(expected)).detach()
        wanted = torch.autograd.grad((expected * weigh).sum(), [*others, *halves])
        inputs = [half.detach().bfloat16().requires_grad_() for half in halves]
        found = compute(*inputs)
        grads = torch.autograd.grad((found * weigh.to(found.dtype)).sum(), [*others, *inputs])
        for a, b in zip([found, *grads], [expected, *wanted]):
            torch.testing.assert_close(a.float(), b, rtol=2**-7, atol=2e-3)


def test_under_autocast_scores_are_as_fine_without_the_kernel():
    core, (q, k, v) = AttentionCore(), (torch.randn(2, 3, 21, 40) for _ in range(3))
    q, k, v = (6.0 * q).bfloat16(), (6.0 * k).bfloat16(), v.bfloat16()
    assert (q.float() @ k.float().transpose(-2, -1)).max() / 40**0.5 > 60.0
    exact = core(q.float(), k.float(), v.float())
    for there in (True, False):
        if not there:
            library._loaded = None
        with choose_device("cpu", "bf16").autocast():
            assert (core(q, k, v).float() - exact).norm() / exact.norm() < 2**-8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("width", [37, 1003])
def test_the_whole_loss_in_both_precisions(width, precision):
    hidden, weight = torch.randn(50, 24, requires_grad=True), torch.randn(width, 24, requires_grad=True)
    targets = torch.randint(0, width, (50,))
    found = []
    for there in (True, False):
        if not there:
            library._loaded = None
        with choose_device("cpu", precision).autocast():
            smoothed, plain = linear_cross_entropy(hidden, weight, targets, 0.1, 0.02)
        found.append([smoothed.detach(), plain, *torch.autograd.grad(smoothed, (hidden, weight))])
    for a, b in zip(*found):
        close = {"rtol": 1e-4, "atol": 1e-6} if precision == "fp32" else {"rtol": 2e-2, "atol": 1e-3}
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("width", [3, 16, 1003])
def test_cross_entropy(width):
    logits, targets = 20 * torch.randn(9, width), torch.randint(0, width, (9,))
    a, b = logits.clone(), logits.clone()
    for ours, theirs in zip(functions.cross_entropy_(a, targets, 0.1), cross_entropy_(b, targets, 0.1)):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_whole_model_with_every_dropout(norm):
    sizes = {"d_model": 48, "d_ff": 64, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2, "norm": norm}
    rates = {"dropout": 0.2, "attention_dropout": 0.1, "feed_forward_dropout": 0.1}
    model = build_model(make_config({"model": sizes | rates}).model, 100, 100)
    loss = Seq2SeqLoss(model, 0.1, choose_device("cpu", "fp32")).train()
    tokens = torch.randint(4, 100, (6, 19))
    mask = torch.arange(19) < torch.randint(1, 20, (6, 1))
    batch = Batch(tokens, mask, tokens, tokens, mask)
    found = []
    for there in (True, False):
        if not there:
            library._loaded = None
        model.zero_grad()
        with drawing_from(3):
            smoothed, plain = loss(batch, 0.01)
        smoothed.backward()
        found.append([plain.detach(), *(weight.grad.clone() for weight in model.parameters())])
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_what_a_kernel_does_not_take_goes_the_other_way():
    x = torch.randn(4, 6)
    assert functions.can_dropout(x) and not functions.can_dropout(x.double()) and not functions.can_dropout(x.t())
    q = torch.randn(1, 2, 3, 8)
    assert functions.can_attend(q, q, q) and not functions.can_attend(q.transpose(2, 3), q, q)
    assert not functions.can_attend(q, *2 * [torch.randn(1, 2, functions.ATTENTION_UP_TO + 1, 8)])
    with torch.no_grad():
        assert not functions.can_dropout(x)
    assert not functions.can_add_norm(x.bfloat16(), x) and functions.can_add_norm(x, x.bfloat16())
    assert not functions.can_attend(q, q.bfloat16(), q)


def test_no_compiler_a_failing_one_and_none_wanted(monkeypatch, tmp_path):
    monkeypatch.setenv("CLEARHEAD_KERNELS", "0")
    assert "CLEARHEAD_KERNELS=0" in library.load() and library.loaded() is None
    monkeypatch.setenv("CLEARHEAD_KERNELS", str(tmp_path / "none.so"))
    assert "none.so" in library.load() and library.loaded() is None
    monkeypatch.delenv("CLEARHEAD_KERNELS")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\ncase $1 in --version) echo broken 1.0;; *) echo 'no such flag' >&2; exit 1;; esac\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(broken))
    assert "no such flag" in library.load() and library.loaded() is None
    assert not list((tmp_path / "cache").rglob("*.so"))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "no C++ compiler" in library.load() and library.loaded() is None


def test_a_compiled_library_is_found_again(monkeypatch, tmp_path):
    monkeypatch.delenv("CLEARHEAD_KERNELS")
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path))
    library.load()
    (path,) = Path(tmp_path, "kernels").iterdir()
    made = os.stat(path).st_mtime_ns
    assert library.load().startswith("own kernels") and os.stat(path).st_mtime_ns == made


@pytest.mark.parametrize("damaged", [b"", b"the whole lib", b"the whole libra\0\0"])
def test_a_library_that_a_power_loss_has_damaged_is_compiled_anew(tmp_path, damaged):
    """Half of a library would end the process by a signal (SIGBUS) when it is loaded."""
    compiler = tmp_path / "c++"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] || { for out; do :; done; printf "the whole library" > "$out"; }\n'
    )
    compiler.chmod(0o755)
    path = library.compiled(str(compiler), tmp_path / "kernels")
    assert path.read_bytes() == b"the whole library"
    path.write_bytes(damaged)
    assert library.compiled(str(compiler), tmp_path / "kernels").read_bytes() == b"the whole library"
