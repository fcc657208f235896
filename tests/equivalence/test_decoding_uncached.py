"""Decoding with a cache against decoding that reads the whole prefix again at every step."""

from __future__ import annotations

import pytest
import torch

from clearhead.decoding.beam import beam_search
from clearhead.decoding.greedy import greedy_search

from ..decoding.test_greedy import close
from ..decoding.toy import REAL_KINDS, START, V, model_of, problem, sentences, teacher_batch


class Uncached:
    """The same model without a state of its own: every step is a teacher forcing of all tokens so far."""

    def __init__(self, model, sources):
        self.model, self.sources, self.vocabulary_size = model, sources, model.vocabulary_size

    def start(self, memory, max_length, rows_per_sentence=1):
        rows = torch.arange(len(self.sources)).repeat_interleave(rows_per_sentence)
        return UncachedState(rows, torch.empty(len(rows), 0, dtype=torch.int64))

    def step(self, tokens, state):
        so_far = torch.cat([state.so_far, tokens], dim=1)
        assert (so_far[:, 0] == START).all()
        batch = teacher_batch([self.sources[i] for i in state.rows.tolist()], so_far[:, 1:].tolist())
        return self.model.forward(batch)[:, -1:], UncachedState(state.rows, so_far)

    def project(self, hidden):
        return self.model.project(hidden)


class UncachedState:
    def __init__(self, rows, so_far):
        self.rows, self.so_far = rows, so_far

    def select(self, rows):
        return UncachedState(self.rows[rows], self.so_far[rows])


@pytest.mark.parametrize("kind", ["toy", *REAL_KINDS])
@pytest.mark.parametrize("seed", range(2))
def test_cached_equals_uncached(kind, seed):
    model, sources = model_of(kind, V, seed), sentences(6, seed + 20)
    asked = problem(model, sources, [4 + i % 5 for i in range(6)], [[5, 6][: i % 3] for i in range(6)])
    uncached = Uncached(model, sources)
    for ours, theirs in zip(greedy_search(model, asked), greedy_search(uncached, asked)):
        close(ours, theirs)
    for ours, theirs in zip(beam_search(model, asked, 3, 0.6, 3), beam_search(uncached, asked, 3, 0.6, 3)):
        assert len(ours) == len(theirs) == 3
        for mine, its in zip(ours, theirs):
            close(mine, its)
