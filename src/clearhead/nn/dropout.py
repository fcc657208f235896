"""Dropout that is cheap on a processor: 16 random bits an element, drawn four at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_generator: ContextVar[torch.Generator | None] = ContextVar("generator", default=None)


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let dropout on a processor draw from ``generator`` within this context and thread, not from PyTorch's own."""
    token = _generator.set(generator)
    try:
        yield
    finally:
        _generator.reset(token)


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014).

    On a processor p is rounded to a multiple of 2**-16, and the draw comes from where ``drawing_from`` says.
    """
    if p == 0.0:
        return x
    if x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    return x * keep_mask(x.shape, p).to(x.dtype).mul_(1.0 / (1.0 - p))


def keep_mask(shape: torch.Size, p: float) -> Tensor:
    """Return a bool tensor that is False with probability p."""
    n = shape.numel()
    bits = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=_generator.get())
    return bits.view(torch.int16)[:n].view(shape) >= round(p * 65536) - 32768


class Dropout(nn.Module):
    """Dropout in training, the identity otherwise."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training else x
