"""A hypothesis: what a search, a draw or a given pair amounts to, with what the model says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor


@overload
def length_penalty(length: int, alpha: float) -> float: ...
@overload
def length_penalty(length: Tensor, alpha: float) -> Tensor: ...
def length_penalty(length: int | Tensor, alpha: float) -> float | Tensor:
    """Return what a log-probability is divided by so that long hypotheses stand a chance: ((5 + length) / 6) ** alpha.

    Wu et al. 2016, equation 14. length: number of tokens, eos counted; alpha: 0 for none.
    """
    return ((5 + length) / 6) ** alpha


@dataclass(frozen=True)
class Hypothesis:
    """One target sentence.

    tokens: ids, eos not among them.
    log_prob: sum of ``token_log_probs``.
    score: ``log_prob`` over the length penalty; searches rank by it.
    finished: whether eos ends it; False where the length limit came first.
    token_log_probs: log-probability of each token given those before it, and of eos where ``finished``.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool
    token_log_probs: tuple[float, ...]

    @classmethod
    def of(cls, tokens: Sequence[int], token_log_probs: Sequence[float], finished: bool, alpha: float) -> Hypothesis:
        """Add up and normalise with length penalty ``alpha``; ``tokens`` and ``token_log_probs`` both with eos."""
        log_prob = math.fsum(token_log_probs)
        score = log_prob / length_penalty(len(tokens), alpha)
        return cls(tuple(tokens[:-1] if finished else tokens), log_prob, score, finished, tuple(token_log_probs))
