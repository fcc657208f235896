"""The kernels as functions of tensors with gradients. Callers ask first whether a kernel can take what they have."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from clearhead.kernels import library

ATTENTION_UP_TO = 256
"""Keys up to which the attention kernel is used: it holds a head's whole matrix of scores."""


_FORMATS = {torch.float32: "float", torch.bfloat16: "bf16"}


class _Dropout(ctypes.Structure):
    _fields_ = [
        ("low", ctypes.c_uint32),
        ("high", ctypes.c_uint32),
        ("least", ctypes.c_uint32),
        ("scale", ctypes.c_float),
    ]


class _Attention(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("b", "h", "t", "s", "k")]
    _fields_ += [(name, ctypes.c_int64 * 3) for name in ("q", "key", "v", "o")] + [("mask", ctypes.c_int64 * 4)]


def threshold(p: float) -> int:
    """Return below which of 65,536 values an element is dropped."""
    return round(p * 65536)


def _takes(*tensors: Tensor) -> bool:
    """Whether kernels are there, and the tensors are theirs: of one of their formats, on a processor, in training."""
    return (
        library.loaded() is not None
        and torch.is_grad_enabled()
        and all(x.device.type == "cpu" and x.dtype in _FORMATS for x in tensors)
    )


def can_dropout(x: Tensor) -> bool:
    """Whether ``dropout`` can take x."""
    return _takes(x) and x.is_contiguous()


def can_add_norm(x: Tensor, y: Tensor) -> bool:
    """Whether ``add_norm`` can take x and y; x is what goes on as fp32 where y is in bf16."""
    return _takes(x, y) and x.dtype == torch.float32 and x.is_contiguous() and y.is_contiguous()


def can_attend(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether ``attention`` can take q, k and v."""
    return (
        _takes(q, k, v)
        and q.dtype == k.dtype == v.dtype
        and k.shape[-2] <= ATTENTION_UP_TO
        and all(x.stride(-1) == 1 for x in (q, k, v))
    )


def dropout(x: Tensor, p: float, key: int) -> Tensor:
    """Return x with elements dropped with probability p, by ``key``."""
    return _DropoutFunction.apply(x, _dropout(p, key))


def add_norm(x: Tensor, y: Tensor, norm: torch.nn.LayerNorm, p: float, key: int) -> Tensor:
    """Return norm(x + dropout(y)); x, y: (..., D)."""
    return _AddNorm.apply(x, y, norm.weight, norm.bias, norm.eps, _dropout(p, key))


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, key: int) -> Tensor:
    """Return dropout(softmax(q k^T / sqrt(d_k))) v.

    q: (B, H, T, K); k, v: (B, H, S, K); mask: bool, broadcastable to (B, H, T, S). The result's heads lie together at
    each position, so that concatenating them copies nothing.
    """
    return _AttentionFunction.apply(q, k, v, mask, _dropout(p, key))


def cross_entropy_(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Turn logits (N, V) into their softmax less (1 - smoothing) at the target, in place.

    Returns the rows' log-sum-exp and the targets' logits, (N,) each.
    """
    lse, target_logit = logits.new_empty(2, len(logits), dtype=torch.float32).unbind()
    _call("cross_entropy", logits.dtype, logits, targets, *logits.shape, smoothing, lse, target_logit)
    return lse, target_logit


class _DropoutFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: _Dropout) -> Tensor:
        ctx.dropout = dropout
        y = torch.empty_like(x)
        _call("dropout_apply", x.dtype, x, x.numel(), dropout, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        grad = grad.contiguous()
        dx = torch.empty_like(grad)
        _call("dropout_apply", grad.dtype, grad, grad.numel(), ctx.dropout, dx)
        return dx, None


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, gain: Tensor, bias: Tensor, epsilon: float, dropout: _Dropout | None
    ) -> Tensor:
        width = x.shape[-1]
        rows = x.numel() // width
        normal, inverse, out = torch.empty_like(x), x.new_empty(rows), torch.empty_like(x)
        _call("add_norm_forward", y.dtype, x, y, gain, bias, rows, width, epsilon, dropout, normal, inverse, out)
        ctx.save_for_backward(normal, inverse, gain)
        ctx.dropout, ctx.format = dropout, y.dtype
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def, override]
        normal, inverse, gain = ctx.saved_tensors
        grad = grad.contiguous()
        dx = torch.empty_like(grad)
        dy = torch.empty_like(grad, dtype=ctx.format)
        dgain, dbias = torch.zeros_like(gain), torch.zeros_like(gain)
        sizes = len(inverse), grad.shape[-1]
        _call("add_norm_backward", ctx.format, grad, normal, inverse, gain, *sizes, ctx.dropout, dx, dy, dgain, dbias)
        return dx, dy, dgain, dbias, None, None


class _AttentionFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: _Dropout | None) -> Tensor:
        (b, h, t, width), s = q.shape, k.shape[2]
        out = q.new_empty(b, t, h, width).transpose(1, 2)
        weights = q.new_empty(b, h, t, s, dtype=torch.float32)
        shape = _Attention(b, h, t, s, width)
        for name, tensor in (("q", q), ("key", k), ("v", v), ("o", out)):
            getattr(shape, name)[:] = tensor.stride()[:3]
        if mask is not None:
            mask = mask.expand(b, h, t, s)
            shape.mask[:] = mask.stride()
        _call("attention_forward", q.dtype, shape, q, k, v, mask, width**-0.5, dropout, weights, out)
        ctx.save_for_backward(q, k, v, weights)
        ctx.shape, ctx.dropout = shape, dropout
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor):  # type: ignore[no-untyped-def, override]
        q, k, v, weights = ctx.saved_tensors
        if grad.stride(-1) != 1:
            grad = grad.contiguous()
        dq, dk, dv = (torch.empty_strided(x.shape, x.stride(), dtype=x.dtype) for x in (q, k, v))
        ctx.shape.o[:] = grad.stride()[:3]
        scale = q.shape[-1] ** -0.5
        _call("attention_backward", q.dtype, ctx.shape, q, k, v, weights, grad, scale, ctx.dropout, dq, dk, dv)
        return dq, dk, dv, None, None


def _dropout(p: float, key: int) -> _Dropout | None:
    return _Dropout(key & 0xFFFFFFFF, key >> 32, threshold(p), 1.0 / (1.0 - p)) if p else None


def _call(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """Call a kernel: tensors and structures by address, whole numbers as int64, others as float."""
    function = getattr(library.loaded(), f"{name}_{_FORMATS[dtype]}")
    function.restype = None
    function(*map(_as_c, arguments))


def _as_c(value: Any) -> Any:
    match value:
        case Tensor():
            return ctypes.c_void_p(value.data_ptr())
        case int():
            return ctypes.c_int64(value)
        case float():
            return ctypes.c_float(value)
        case ctypes.Structure():
            return ctypes.byref(value)
    return None
