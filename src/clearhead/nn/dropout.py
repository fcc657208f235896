"""Dropout that is cheap on a processor: which elements stay is a hash of their numbers and of a key, 16 bits each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clearhead.kernels import functions as kernels


@dataclass
class _Draws:
    """The dropouts of one pass: the n-th of them has a key that follows from (seed, n)."""

    seed: int
    count: int = 0


_draws: ContextVar[_Draws | None] = ContextVar("draws", default=None)


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let dropout on a processor draw from ``seed`` within this context and thread.

    Each dropout in it has a pattern of its own, a function of the seed and of how many came before it.
    """
    token = _draws.set(_Draws(seed))
    try:
        yield
    finally:
        _draws.reset(token)


def next_key() -> int:
    """Return the key of the next dropout, 64 bits: of ``drawing_from``; outside of it PyTorch's generator draws one."""
    draws = _draws.get()
    if draws is None:
        return int(torch.randint(-(2**63), 2**63 - 1, ())) & (2**64 - 1)
    draws.count += 1
    return _mixed(draws.seed + draws.count * 0x9E3779B97F4A7C15)


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014).

    On a processor p is rounded to a multiple of 2**-16.
    """
    if p == 0.0:
        return x
    if x.device.type != "cpu":
        return nn.functional.dropout(x, p)
    key = next_key()
    if kernels.can_dropout(x):
        return kernels.dropout(x, p, key)
    return x * keep_mask(x.shape, p, key).to(x.dtype).mul_(1.0 / (1.0 - p))


def keep_mask(shape: torch.Size, p: float, key: int) -> Tensor:
    """Return a bool tensor that is False with probability p: a function of the key and of each element's number.

    Two neighbours share a 32-bit hash of their number (the finaliser of MurmurHash3, Appleby 2011, with the key's upper
    half mixed in between), 16 bits for each. ``kernels.cpp`` has the same hash.
    """
    n = shape.numel()
    x = torch.arange((n + 1) // 2, dtype=torch.int32)
    x.mul_(_signed(0x9E3779B9)).add_(_signed(key & 0xFFFFFFFF))  # wraps around, as meant
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))
    x.mul_(_signed(0x85EBCA6B)).bitwise_xor_(_signed(key >> 32))
    x.bitwise_xor_((x >> 13).bitwise_and_(0x7FFFF))
    x.mul_(_signed(0xC2B2AE35))
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))
    x.bitwise_xor_(_signed(0x80008000))  # so that the halves compare as signed numbers
    return x.view(torch.int16)[:n].view(shape) >= kernels.threshold(p) - 32768


class Dropout(nn.Module):
    """Dropout in training, the identity otherwise."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training else x


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word


def _mixed(x: int) -> int:
    """Return 64 bits that depend on all bits of x (the finaliser of SplitMix64, Steele et al. 2014)."""
    x &= 2**64 - 1
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return x ^ x >> 31
