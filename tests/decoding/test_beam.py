"""Beam search against greedy search, against brute force, and against a beam written down sentence by sentence."""

from __future__ import annotations

import itertools

import pytest
import torch

from clearhead.decoding.beam import beam_search, largest
from clearhead.decoding.greedy import greedy_search
from clearhead.decoding.hypothesis import length_penalty

from .test_greedy import close
from .toy import EOS, KINDS, PAD, START, TableModel, V, model_of, problem, random_table, sentences


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exhaustive", [False, True])
def test_beam_1_equals_greedy(kind, exhaustive):
    """At alpha 0, where no longer hypothesis can win after all, the first to finish is the answer."""
    for seed in range(4):
        model, sources = model_of(kind, V, seed), sentences(10, seed)
        asked = problem(model, sources, [i % 8 for i in range(10)], [[3][: i % 2] if i % 8 else [] for i in range(10)])
        for greedy, (beam,) in zip(greedy_search(model, asked), beam_search(model, asked, 1, 0.0, 1, exhaustive)):
            close(beam, greedy)


def every_hypothesis(table, source, limit, vocabulary, alpha):
    """(score, tokens) of every sentence of at most ``limit`` tokens that ends in eos, best first."""
    found = []
    for length in range(limit + 1):
        for tokens in itertools.product(vocabulary, repeat=length):
            steps = [*tokens, EOS]
            log_probs = [table(tuple(source), tokens[:i]).log_softmax(-1)[token] for i, token in enumerate(steps)]
            found.append((float(sum(log_probs)) / length_penalty(length + 1, alpha), tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_full_width_beam_equals_brute_force(alpha, seed):
    table, sources, limits = random_table(6, seed), [[3, EOS], [4, 5, EOS], [EOS]], [4, 2, 3]
    model = TableModel(6, table)
    found = beam_search(model, problem(model, sources, limits), 400, alpha, n_best=60, exhaustive=True)
    for source, limit, hypotheses in zip(sources, limits, found):
        expected = every_hypothesis(table, source, limit, (3, 4, 5), alpha)[:60]
        assert [h.tokens for h in hypotheses] == [tokens for _, tokens in expected]
        assert [h.score for h in hypotheses] == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert all(h.finished for h in hypotheses)


def beam_by_hand(table, source, limit, size, alpha, exhaustive):
    """The same search in plain Python for one sentence: (score, tokens) of the kept, best first."""
    live, kept = [(0.0, ())], []
    for position in range(limit + 1):
        grown = []
        for log_prob, tokens in live:
            row = table(tuple(source), tokens).log_softmax(-1).tolist()
            grown += [(log_prob + row[t], (*tokens, t)) for t in range(len(row)) if t not in (PAD, START)]
        grown = sorted(grown, key=lambda pair: -pair[0])[: 2 * size]
        kept += [(lp / length_penalty(position + 1, alpha), t[:-1]) for lp, t in grown[:size] if t[-1] == EOS]
        kept = sorted(kept, key=lambda pair: -pair[0])[:size]
        live = [pair for pair in grown if pair[1][-1] != EOS][:size]
        reach = limit + 1 if exhaustive else position + 1
        if len(kept) == size and live[0][0] / length_penalty(reach, alpha) <= kept[-1][0]:
            break
    return kept


@pytest.mark.parametrize("exhaustive", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_beam_search_equals_one_written_down_plainly(alpha, exhaustive):
    for seed in range(3):
        table, sources = random_table(V, seed, spread=1.0), sentences(8, seed)
        model = TableModel(V, table)
        found = beam_search(model, problem(model, sources, [6 + i % 5 for i in range(8)]), 3, alpha, 3, exhaustive)
        for i, (source, hypotheses) in enumerate(zip(sources, found)):
            expected = beam_by_hand(table, source, 6 + i % 5, 3, alpha, exhaustive)
            ours = [(h.score, h.tokens) for h in hypotheses if h.finished]
            assert [tokens for _, tokens in ours] == [tokens for _, tokens in expected]
            assert [score for score, _ in ours] == pytest.approx([score for score, _ in expected], abs=1e-5)


def test_the_default_stop_may_miss_what_an_exhaustive_search_finds():
    found = {}
    for exhaustive in (False, True):
        best = []
        for seed in range(6):
            model = TableModel(V, random_table(V, seed, spread=1.0))
            asked = problem(model, sentences(8, seed), [10] * 8)
            best += [hypotheses[0].score for hypotheses in beam_search(model, asked, 2, 2.0, 1, exhaustive)]
        found[exhaustive] = best
    assert all(full >= quick - 1e-6 for quick, full in zip(found[False], found[True]))
    assert any(full > quick + 1e-3 for quick, full in zip(found[False], found[True]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_around_a_sentence_changes_nothing(kind):
    model, sources = model_of(kind, V, 6), sentences(10, 7)
    limits = [3 + i % 6 for i in range(10)]
    alone = [beam_search(model, problem(model, [s], [n]), 3, 0.6, 3)[0] for s, n in zip(sources, limits)]
    together = beam_search(model, problem(model, sources, limits), 3, 0.6, 3)
    backwards = beam_search(model, problem(model, sources[::-1], limits[::-1]), 3, 0.6, 3)[::-1]
    for one, two, three in zip(alone, together, backwards):
        assert len(one) == len(two) == len(three) == 3
        for a, b, c in zip(one, two, three):
            close(b, a)
            close(c, a)


@pytest.mark.parametrize("kind", KINDS)
def test_n_best_is_sorted_distinct_and_keeps_the_prefix(kind):
    model, sources = model_of(kind, V, 8), sentences(8, 9)
    prefixes = [[5, 3, 4][: i % 4] for i in range(8)]
    for prefix, hypotheses in zip(prefixes, beam_search(model, problem(model, sources, [8] * 8, prefixes), 5, 0.6, 5)):
        assert len(hypotheses) == len({h.tokens for h in hypotheses}) == 5
        for finished in (True, False):
            scores = [h.score for h in hypotheses if h.finished == finished]
            assert scores == sorted(scores, reverse=True)
        assert [h.finished for h in hypotheses] == sorted((h.finished for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            assert list(hypothesis.tokens[: len(prefix)]) == prefix
            assert not set(hypothesis.tokens[len(prefix) :]) & {PAD, START, EOS}
            assert len(hypothesis.token_log_probs) == len(hypothesis.tokens) + hypothesis.finished


def test_finished_hypotheses_are_never_extended():
    model = TableModel(V, random_table(V, 3))
    beam_search(model, problem(model, sentences(6, 2), [8] * 6), 4)
    assert model.taken
    assert not any(EOS in tokens for tokens in model.taken)


def test_where_no_hypothesis_ends_the_best_unfinished_comes_back():
    logits = torch.tensor([0.0, 0.0, -torch.inf, 1.0, -1.0])
    model = TableModel(5, lambda source, so_far: logits)
    (found,) = beam_search(model, problem(model, [[EOS]], [3]), 4, 0.6, n_best=4)
    assert found[0].tokens == (3, 3, 3)
    assert {h.tokens for h in found[1:]} == {(3, 3, 4), (3, 4, 3), (4, 3, 3)}
    assert not any(h.finished for h in found)
    assert len(found[0].token_log_probs) == 3


def test_largest_takes_the_first_among_equals():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        values = torch.randint(0, 6, (7, 40), generator=generator).float()
        expected_values, expected = values.sort(dim=1, descending=True, stable=True)
        top, places = largest(values, 8)
        assert torch.equal(places, expected[:, :8])
        assert torch.equal(top, expected_values[:, :8])


def test_equals_are_settled_alike_by_beam_and_greedy():
    model = TableModel(40, lambda source, so_far: torch.zeros(40))
    asked = problem(model, [[EOS], [3, EOS]], [4, 4], forbidden=(0, 1, 2))
    greedy = greedy_search(model, asked)
    assert [h.tokens for h in greedy] == [(3,) * 4] * 2
    assert [hypotheses[0].tokens for hypotheses in beam_search(model, asked, 1)] == [(3,) * 4] * 2
    assert [hypotheses[0].tokens for hypotheses in beam_search(model, asked, 4)] == [(3,) * 4] * 2
