"""Teacher forcing against the steps of a search."""

from __future__ import annotations

import pytest

from clearhead.decoding import scoring
from clearhead.decoding.beam import beam_search
from clearhead.decoding.scoring import score_pairs

from .test_greedy import close
from .toy import KINDS, V, model_of, problem, sentences, teacher_batch


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_of_a_pair_is_the_sum_of_the_steps(kind, monkeypatch):
    monkeypatch.setattr(scoring, "POSITIONS_AT_ONCE", 7)
    model, sources = model_of(kind, V, 1), sentences(6, 2)
    found = beam_search(model, problem(model, sources, [20] * 6, [[3, 4][: i % 3] for i in range(6)]), 4, 0.6, 4)
    pairs = [(s, h) for s, hypotheses in zip(sources, found) for h in hypotheses if h.finished]
    assert len(pairs) > 3
    batch = teacher_batch([s for s, _ in pairs], [list(h.tokens) for _, h in pairs])
    for scored, (_, hypothesis) in zip(score_pairs(model, batch, 0.6), pairs):
        close(scored, hypothesis)
