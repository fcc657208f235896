"""Vectors of runs of tokens, found by hash."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIME = 2_147_483_629
FACTOR = 1_000_003
"""What hashes are made with: with any id below 2^21 nothing exceeds the 63 bits of an integer."""


class NgramEmbedding(nn.Module):
    """One learned vector a run of 2 to ``longest`` tokens (Joulin et al. 2017; Pagnoni et al. 2024, section 3.2).

    A run's vector is the one that its hash points to, so that no list of runs is kept; the vectors of all runs that end
    at a token are summed. In front of a text stand zeros, so that its beginning is known. Departure: the vectors are
    narrow and projected together, so that there is room for many.

    Args:
        longest: at least 2.
        buckets: how many vectors there are.
        width: of each vector.
        d_model: width of what comes out, D.
    """

    def __init__(self, longest: int, buckets: int, width: int, d_model: int) -> None:
        super().__init__()
        self.longest = longest
        self.weight = nn.Parameter(torch.empty(buckets, width))
        self.w_up = nn.Linear(width, d_model, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return what the runs that end at each token of ids (N, S) say, (N, S, D)."""
        return self.w_up(F.embedding(self.places(ids), self.weight).sum(dim=2))

    def places(self, ids: Tensor) -> Tensor:
        """Return where the vectors of the runs of 2, 3, ... tokens that end at each token are, (N, S, longest - 1)."""
        tokens = F.pad(ids, (self.longest - 1, 0))
        found, run = [], tokens
        for length in range(2, self.longest + 1):
            run = (run[:, :-1] * FACTOR + tokens[:, length - 1 :] + length) % PRIME  # one token more
            found.append(run[:, self.longest - length :] % len(self.weight))
        return torch.stack(found, dim=-1)
