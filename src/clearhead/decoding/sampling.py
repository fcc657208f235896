"""Drawing tokens by their probability, so that a draw depends on its key alone and not on the batch around it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from clearhead.data.randomness import generator
from clearhead.decoding.beam import largest
from clearhead.decoding.greedy import Choose


def uniforms(seed: int, keys: Iterable[tuple[int, ...]], length: int, device: torch.device | str = "cpu") -> Tensor:
    """Return (R, length) numbers in [0, 1): row r's are a function of ``seed`` and ``keys[r]``, whatever the length."""
    rows = [generator(seed, "sampling", *key).random(length, dtype=np.float32) for key in keys]
    return torch.from_numpy(np.stack(rows)).to(device)


def sampler(draws: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Choose:
    """Return a ``choose`` for ``greedy_search`` that draws by inverse transform.

    draws: (R, T) in [0, 1), one for each row and position.
    temperature: log-probabilities are divided by it.
    top_k: only this many likeliest tokens remain; 0: all (Fan et al. 2018).
    top_p: of those, only the fewest whose probabilities sum to this remain (Holtzman et al. 2020).
    """

    def choose(log_probs: Tensor, rows: Tensor, position: int) -> Tensor:
        probs, tokens = _candidates(log_probs / temperature, top_k, top_p)
        cumulative = probs.cumsum(-1)
        # A draw of 24 bits times the total stays below the total in 53, so that no token of probability 0 is hit.
        target = draws[rows, position].double().unsqueeze(1) * cumulative[:, -1:]
        place = torch.searchsorted(cumulative, target, right=True).clamp(max=probs.shape[-1] - 1)  # where all is NaN
        return tokens.gather(1, place).squeeze(1)

    return choose


def _candidates(logits: Tensor, top_k: int, top_p: float) -> tuple[Tensor, Tensor]:
    """Return the probabilities (R, C) in fp64, 0 where cut off and not summing to 1, and their token ids (R, C)."""
    n_tokens = logits.shape[1]
    if top_k == 0 and top_p == 1.0:
        return logits.double().softmax(-1), torch.arange(n_tokens, device=logits.device).expand_as(logits)
    logits, tokens = largest(logits, min(top_k or n_tokens, n_tokens))
    probs = logits.double().softmax(-1)
    before = probs.cumsum(-1) - probs
    return probs.masked_fill(before >= top_p, 0.0), tokens
