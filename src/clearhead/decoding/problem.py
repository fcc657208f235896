"""What a search is asked, whichever search it is: sentences, and which tokens may come where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearhead.models.interface import Memory


@dataclass(frozen=True)
class Problem:
    """N sentences to decode.

    memory: the encoder's output for them.
    limits: (N,) int64, how many tokens a hypothesis may have, eos not counted.
    prefixes: (N, P) int64, the tokens forced at a sentence's first positions, then -1 where the search is free.
    forbidden: (F,) int64, ids that are never chosen (they may be forced); eos among them only to measure speed.
    decoder_start_id: what a decoder takes in first.
    eos_id: what ends a hypothesis.
    """

    memory: Memory
    limits: Tensor
    prefixes: Tensor
    forbidden: Tensor
    decoder_start_id: int
    eos_id: int

    @property
    def max_length(self) -> int:
        """How many tokens a decoder takes in at most: decoder_start_id and the longest hypothesis."""
        return int(self.limits.max()) + 1

    def log_probs(self, logits: Tensor, sentences: Tensor, position: int) -> Tensor:
        """Return the log-probabilities (R, V) of the token at ``position``, -inf where a token may not come.

        The rest is not normalised again: what remains is the model's own probability. Always fp32.

        logits: (R, V); sentences: (R,) int64, which sentence each row belongs to; position: from 0.
        """
        log_probs = logits.float().log_softmax(-1)
        if position >= self.prefixes.shape[1]:
            return log_probs.index_fill_(1, self.forbidden, -torch.inf)
        forced = self.prefixes[sentences, position].unsqueeze(1)  # (R, 1)
        index = forced.clamp(min=0)
        only = torch.full_like(log_probs, -torch.inf).scatter_(1, index, log_probs.gather(1, index))
        return torch.where(forced >= 0, only, log_probs.index_fill(1, self.forbidden, -torch.inf))


def pad_prefixes(prefixes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """Return ``prefixes`` as (N, P) int64 filled up with -1; P is 0 where all are empty."""
    longest = max((len(prefix) for prefix in prefixes), default=0)
    rows = [[*prefix, *[-1] * (longest - len(prefix))] for prefix in prefixes]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(prefixes), longest)
