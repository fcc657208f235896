"""The dynamic programmes of unigram learning against all segmentations, one by one."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.text import unigram

PIECES = ["a", "b", "c", "ab", "bc", "abc", "aa", "cabc"]


def segmentations(word, pieces):
    if not word:
        yield []
    for piece in pieces:
        if word.startswith(piece):
            for rest in segmentations(word[len(piece) :], pieces):
                yield [piece, *rest]


@settings(deadline=None, max_examples=50)
@given(
    words=st.dictionaries(st.text("abc", min_size=1, max_size=8), st.integers(1, 9), min_size=1),
    weights=st.lists(st.floats(0.01, 1), min_size=len(PIECES), max_size=len(PIECES)),
)
def test_expected_counts_are_those_of_all_segmentations(words, weights):
    scores = np.log(np.array(weights))
    probability = dict(zip(PIECES, weights))
    expected = dict.fromkeys(PIECES, 0.0)
    for word, count in words.items():
        ways = [(way, np.prod([probability[piece] for piece in way])) for way in segmentations(word, PIECES)]
        total = sum(p for _, p in ways)
        for way, p in ways:
            for piece in way:
                expected[piece] += count * p / total
    lattices = unigram._lattices(list(words), list(words.values()), PIECES)
    np.testing.assert_allclose(
        unigram._expected_counts(lattices, scores), list(expected.values()), rtol=1e-9, atol=1e-12
    )


def test_the_best_way_without_a_piece():
    rng = np.random.default_rng(1)
    scores = np.log(rng.uniform(0.01, 1, len(PIECES)))
    lattices = unigram._lattices(PIECES, [1] * len(PIECES), PIECES)
    best = unigram._without_itself(lattices, scores)
    for piece, found in zip(PIECES, best):
        others = [way for way in segmentations(piece, PIECES) if way != [piece]]
        by_hand = max((sum(scores[PIECES.index(part)] for part in way) for way in others), default=0.0)
        assert found == pytest.approx(by_hand)


@given(parts=st.dictionaries(st.text("ab ", min_size=1, max_size=20), st.integers(1, 3)), limit=st.integers(1, 40))
def test_candidates_are_the_substrings_that_cover_most(parts, limit):
    counts: Counter[str] = Counter()
    for part, count in parts.items():
        for start, end in combinations(range(len(part) + 1), 2):
            counts[part[start:end]] += count
    good = [piece for piece, count in counts.items() if count > 1 and 2 <= len(piece) <= unigram.MAX_PIECE]
    expected = sorted(good, key=lambda piece: (-counts[piece] * len(piece), piece))[:limit]
    assert unigram._seeds(parts, limit) == expected


def test_each_round_of_em_makes_the_words_likelier():
    words = {"abcab": 5, "cab": 3, "aab": 2, "bca": 7}
    lattices = unigram._lattices(list(words), list(words.values()), PIECES)

    def log_likelihood(scores):
        padded = np.append(scores, -np.inf)
        return sum(
            (unigram._forward(lattice, padded, np.logaddexp)[:, -1] * lattice.counts).sum() for lattice in lattices
        )

    weights = np.full(len(PIECES), 1 / len(PIECES))
    before = -np.inf
    for _ in range(5):
        now = log_likelihood(np.log(weights))
        assert now > before
        before = now
        expected = unigram._expected_counts(lattices, np.log(weights)) + 1e-12
        weights = expected / expected.sum()


def test_words_that_share_a_stem_teach_it():
    words = {" lowering": 20, " lowered": 18, " lower": 30, " low": 25, " newer": 9, " newest": 8}
    alphabet = sorted({c for word in words for c in word})
    pieces = unigram.learn_unigram(words, alphabet, len(alphabet) + 4)
    names = [piece for piece, _ in pieces]
    assert set(alphabet) <= set(names)
    assert len(names) == len(set(names)) == len(alphabet) + 4
    assert " low" in names or " lower" in names
    assert sum(np.exp(score) for _, score in pieces) == pytest.approx(1, abs=1e-3)


def test_words_are_cut_at_unknown_characters_and_not_held_too_long():
    parts = unigram._parts({"abxab": 2, "x": 5, "a" * 200: 1}, set("ab"))
    assert parts == {"ab": 4, "a" * 64: 3, "a" * 8: 1}
