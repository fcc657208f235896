"""Greedy search against taking each step by hand, and the batch around a sentence against none."""

from __future__ import annotations

import math

import pytest
import torch

from clearhead.decoding.greedy import greedy_search

from .batcher import decode_continuously
from .toy import EOS, KINDS, PAD, START, TableModel, V, model_of, problem, random_table, sentences


def close(ours, theirs):
    """A batch of another size is summed in another order: on AMD's Zen 4 that has been worth 2.2e-5."""
    assert ours.tokens == theirs.tokens
    assert ours.finished == theirs.finished
    assert ours.token_log_probs == pytest.approx(theirs.token_log_probs, abs=5e-5)
    assert ours.score == pytest.approx(theirs.score, abs=1e-4)


def by_hand(table, source, limit, prefix=(), forbidden=(PAD, START)):
    tokens, log_probs = [], []
    while True:
        row = table(tuple(source), tuple(tokens)).log_softmax(-1).tolist()
        if len(tokens) < len(prefix):
            token = prefix[len(tokens)]
        else:
            token = max((t for t in range(len(row)) if t not in forbidden), key=lambda t: row[t])
        if token == EOS:
            return tokens, [*log_probs, row[EOS]], True
        if len(tokens) == limit:
            return tokens, log_probs, False
        tokens.append(token)
        log_probs.append(row[token])


def test_greedy_equals_the_table_read_by_hand():
    table, sources = random_table(V, 5), sentences(30, 1)
    limits = [i % 9 for i in range(30)]
    prefixes = [[3, 4, START, 5][: i % 5] if i % 5 <= limits[i] else [] for i in range(30)]
    found = greedy_search(TableModel(V, table), problem(TableModel(V, table), sources, limits, prefixes), alpha=0.6)
    assert {h.finished for h in found} == {True, False}
    for source, limit, prefix, hypothesis in zip(sources, limits, prefixes, found):
        tokens, log_probs, finished = by_hand(table, source, limit, prefix)
        assert (list(hypothesis.tokens), hypothesis.finished) == (tokens, finished)
        assert hypothesis.token_log_probs == pytest.approx(log_probs, abs=1e-5)
        assert hypothesis.log_prob == pytest.approx(sum(log_probs), abs=1e-5)
        length = len(log_probs)
        assert hypothesis.score == pytest.approx(sum(log_probs) / ((5 + length) / 6) ** 0.6, abs=1e-5)
        assert hypothesis.tokens[: len(prefix)] == tuple(prefix)


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_around_a_sentence_changes_nothing(kind):
    model, sources = model_of(kind, V, 2), sentences(12, 3)
    limits = [4 + i % 7 for i in range(12)]
    alone = [greedy_search(model, problem(model, [s], [limit]))[0] for s, limit in zip(sources, limits)]
    assert len({h.tokens for h in alone}) > 3
    together = greedy_search(model, problem(model, sources, limits))
    backwards = greedy_search(model, problem(model, sources[::-1], limits[::-1]))[::-1]
    for one, two, three in zip(alone, together, backwards):
        close(two, one)
        close(three, one)


@pytest.mark.parametrize("kind", KINDS)
def test_a_continuous_batcher_gives_what_each_sentence_alone_gives(kind):
    model, sources = model_of(kind, V, 4), sentences(14, 5)
    limit = 9
    alone = [list(greedy_search(model, problem(model, [s], [limit]))[0].tokens) for s in sources]
    assert len({tuple(tokens) for tokens in alone}) > 3
    arrivals = [sources[:3], [], sources[3:4], sources[4:9], [], [], sources[9:12], sources[12:]]
    with torch.inference_mode():
        assert decode_continuously(model, arrivals, limit) == alone


def test_finished_rows_leave_the_batch():
    """Of 8 sentences 7 end at once; the last goes on, and the rest are soon asked no more."""

    def table(source, so_far):
        logits = torch.zeros(V)
        logits[EOS if len(source) > 1 else 3] = 9.0
        return logits

    model = TableModel(V, table)
    sources = [[4, EOS]] * 7 + [[EOS]]
    found = greedy_search(model, problem(model, sources, [20] * 8))
    assert [h.tokens for h in found] == [()] * 7 + [(3,) * 20]
    assert len(model.taken) == 8 + 20


def test_forbidden_tokens_never_come_and_probabilities_stay_the_models_own():
    logits = torch.tensor([5.0, 5.0, 0.0, 1.0])
    model = TableModel(4, lambda source, so_far: logits)
    (found,) = greedy_search(model, problem(model, [[EOS]], [3]))
    assert found.tokens == (3, 3, 3)
    own = 1.0 - math.log(2 * math.exp(5) + 1 + math.e)
    assert found.token_log_probs == pytest.approx([own] * 3, abs=1e-5)
