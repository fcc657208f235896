"""Masks: boolean, True where a query may attend to a key."""

from __future__ import annotations

import torch
from torch import Tensor


def padding_mask(is_token: Tensor) -> Tensor:
    """Return the mask that hides padding from every head and query: (B, S) bool -> (B, 1, 1, S)."""
    return is_token[:, None, None, :]


def causal_mask(length: int, past: int = 0, device: torch.device | str | None = None, band: int = 0) -> Tensor:
    """Return the mask under which query i, at position past + i, sees the keys up to its own position only.

    Vaswani et al. 2017, section 3.2.3. Returns (length, past + length) bool.

    band: where not 0, only so many keys, the last ones (Child et al. 2019; Brown et al. 2020, section 2.1).
    """
    mask = torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)
    return mask.triu(past - band + 1) if band else mask
