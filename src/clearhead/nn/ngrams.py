"""What runs of tokens say about a text's label: counted first, then learned."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIME = 2_147_483_629
FACTOR, SECOND, MARK = 1_000_003, 48_271, 69_621
"""What hashes are made with: with any id below 2^21 nothing exceeds the 63 bits of an integer."""
MARKS = 254
"""Marks are whole numbers from -127 to 127 without 0, so that weights in 8 bits keep them."""
ROUNDS = 50
ABOVE = 2**31
"""What a hash is below; in 63 bits there is room for a text's number above it."""
MOST = 2**25
"""With more runs than this those seen once so far are forgotten (Manku and Motwani 2002)."""


class NgramEvidence(nn.Module):
    """How much each run of 1 to ``longest`` tokens speaks for each label (after Wang and Manning 2012, section 2.3).

    A run's evidence for a label is its naive Bayes log-likelihood ratio against the first label, counted once over the
    training texts. What is learned is how much each run counts, from 1 on, and one gain for all. Runs that stand in
    fewer than ``min_count`` texts say nothing, and neither do those that were never seen.

    Departure: no list of runs is kept. A run has two places, by two hashes, and stands in one of them, whose mark (a
    third hash) tells it from others; of runs that were never seen one in 127 at most is taken for another. Where more
    frequent runs stand at both places it is forgotten. In front of a text stand zeros, so that its beginning is known.

    Args:
        longest: at least 1.
        buckets: how many places there are.
        labels: how many labels, C, at least 2.
        min_count: in how many texts a run must stand.
    """

    evidence: Tensor
    mark: Tensor

    def __init__(self, longest: int, buckets: int, labels: int, min_count: int) -> None:
        super().__init__()
        self.longest = longest
        self.min_count = min_count
        self.weight = nn.Parameter(torch.empty(buckets, labels - 1))
        # One for all, so that runs that are seldom seen become quieter together with the others.
        self.gain = nn.Parameter(torch.empty(1))
        self.register_buffer("evidence", torch.zeros(buckets, labels - 1))
        self.register_buffer("mark", torch.zeros(buckets, 1))  # 0 where no run stands

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return what the runs that end at each token of ids (N, S) say for each label, (N, S, C); for the first, 0.

        A run counts where it first stands in a text, and a text's evidence is divided by its length as a vector:
        neither long texts nor repetitions are surer for it. mask: (N, S) bool, True where a token is.
        """
        runs = self._runs(ids)
        places, known = self._find(runs)
        counts = known & mask.unsqueeze(-1) & _first_of_each(runs)
        evidence = F.embedding(places, self.evidence) * counts.unsqueeze(-1)  # (N, S, R, C - 1)
        length = evidence.square().sum(dim=(1, 2), keepdim=True).sqrt()
        evidence = evidence * self.gain / length.clamp(min=torch.finfo(evidence.dtype).tiny)
        return F.pad((F.embedding(places, self.weight) * evidence).sum(dim=2), (1, 0))

    @torch.no_grad()
    def count(self, texts: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Learn which runs there are and what they say, from ids (N, S), mask (N, S) and labels (N,) of training texts.

        The mask is True where a token is. Evidence is smoothed by one text a label and run.
        """
        runs, counts = np.empty(0, np.int64), np.empty((0, self.weight.shape[1] + 1), np.int32)
        for ids, mask, labels in texts:
            text = torch.arange(len(ids))[:, None, None]
            each = torch.unique((text * ABOVE + self._runs(ids))[mask]).numpy()  # a run counts once a text
            new = np.zeros((len(each), counts.shape[1]), np.int32)
            new[np.arange(len(each)), labels.numpy()[each // ABOVE]] = 1
            runs, counts = _joined(np.concatenate([runs, each % ABOVE]), np.concatenate([counts, new]))
            if len(runs) > MOST:
                again = counts.sum(axis=1) > 1
                runs, counts = runs[again], counts[again]
        frequent = counts.sum(axis=1) >= self.min_count
        runs, counts = runs[frequent], counts[frequent]
        order = np.argsort(-counts.sum(axis=1), kind="stable")
        runs, counts = runs[order], counts[order]
        smoothed = np.log(counts + 1) - np.log((counts + 1).sum(axis=0))
        first, second, mark = (each.numpy() for each in self._hashes(torch.from_numpy(runs)))
        places, stands = _settled(first, second, len(self.mark))
        self.evidence.zero_()[places[stands]] = torch.from_numpy(smoothed[:, 1:] - smoothed[:, :1])[stands].float()
        self.mark.zero_()[places[stands], 0] = torch.from_numpy(mark)[stands].float()

    def _runs(self, ids: Tensor) -> Tensor:
        """Return a hash below 2^31 of the runs of 1, 2, ... tokens that end at each token, (N, S, longest)."""
        tokens = F.pad(ids, (self.longest - 1, 0))
        run = (tokens + 1) * FACTOR % PRIME  # so that a 0 in front counts, too
        found = [run[:, self.longest - 1 :]]
        for length in range(2, self.longest + 1):
            run = (run[:, :-1] * FACTOR + tokens[:, length - 1 :] + length) % PRIME  # one token more
            found.append(run[:, self.longest - length :])
        return torch.stack(found, dim=-1)

    def _find(self, runs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the runs' places and whether they stand there."""
        first, second, mark = self._hashes(runs)
        at_first = F.embedding(first, self.mark)[..., 0] == mark
        at_second = F.embedding(second, self.mark)[..., 0] == mark
        return torch.where(at_first, first, second), at_first | at_second

    def _hashes(self, runs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a run's first and second place and its mark."""
        buckets, mark = len(self.mark), runs * MARK % PRIME % MARKS - MARKS // 2
        return runs % buckets, runs * SECOND % PRIME % buckets, mark + (mark >= 0)


def _first_of_each(runs: Tensor) -> Tensor:
    """Return whether each of ``runs`` (N, S, R) is the first of its kind in its row, (N, S, R) bool."""
    flat = runs.flatten(1)
    ordered, places = flat.sort(dim=1, stable=True)
    new = torch.ones_like(flat, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(new).scatter_(1, places, new).view_as(runs)


def _joined(runs: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each of ``runs`` once, in order, with the sum of its ``counts``."""
    order = np.argsort(runs, kind="stable")
    runs, counts = runs[order], counts[order]
    starts = np.flatnonzero(np.diff(runs, prepend=-1))
    return runs[starts], np.add.reduceat(counts, starts)


def _settled(first: np.ndarray, second: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a place for each run, the most frequent first, and whether it stands there; no two stand at one place.

    Whoever finds a more frequent one at its place tries the other one, again and again (Pagh and Rodler 2004).
    """
    places, numbers, owner = first, np.arange(len(first)), np.empty(buckets, np.int64)
    for turn in range(ROUNDS + 1):
        owner[places[::-1]] = numbers[::-1]  # of several the last that is written stays: the most frequent
        stands = owner[places] == numbers
        if stands.all() or turn == ROUNDS:
            break
        places = np.where(stands, places, first + second - places)
    return places, stands
