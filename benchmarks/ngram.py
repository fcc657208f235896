"""An n-gram model of token ids: interpolated, modified Kneser-Ney (Chen and Goodman 1999, section 3.2), in NumPy.

Letters: n order, N tokens of a stream, V vocabulary. A k-gram gets a dense number, its place among all k-grams of the
training stream; its key is the number of its first k - 1 tokens times V plus its last token. So a k-gram of any length
is looked up by k binary searches in sorted arrays of int64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])
"""Discounts where the counts of counts give none, as in KenLM: a small corpus, or one where nothing is rare."""


@dataclass(frozen=True)
class Level:
    """All that is known of k-grams.

    keys: (G,) sorted; counts: (G,) occurrences at the highest order, below it how many tokens stand before the k-gram;
    discounts: (4,) what is taken off a count of 0, 1, 2 and 3 or more; totals: (C,) sum of counts behind each context;
    backoff: (C,) share of its probability that a context leaves to the next lower order.
    """

    keys: np.ndarray
    counts: np.ndarray
    discounts: np.ndarray
    totals: np.ndarray
    backoff: np.ndarray


class KneserNey:
    """What follows what, from counts.

    Args:
        tokens: (N,) the training stream; texts stand one after the other with an end token between them.
        order: n, at least 1.
        vocabulary_size: V; ids lie below it.
        possible: how many of them can come at all; they share what the unigrams leave. V where not given.
    """

    def __init__(self, tokens: np.ndarray, order: int, vocabulary_size: int, possible: int | None = None) -> None:
        self.order = order
        self.vocabulary_size = vocabulary_size
        self.possible = possible or vocabulary_size
        tokens = np.asarray(tokens, np.int64)
        keys: list[np.ndarray] = []
        suffixes: list[np.ndarray] = []  # of each k-gram, the number of its last k - 1 tokens
        occurrences = np.zeros(0, np.int64)
        before = np.zeros(len(tokens) + 1, np.int64)  # the number of the (k - 1)-gram that starts at each place
        for k in range(1, order + 1):
            each = before[: len(tokens) - k + 1] * vocabulary_size + tokens[k - 1 :]
            unique, first, numbers, occurrences = np.unique(
                each, return_index=True, return_inverse=True, return_counts=True
            )
            keys.append(unique)
            suffixes.append(before[first + 1])
            before = numbers
        counts = [np.bincount(suffix, minlength=len(below)) for suffix, below in zip(suffixes[1:], keys)]
        sizes = [1, *map(len, keys)]
        self.levels = [
            _level(key, count, key // vocabulary_size, size)
            for key, count, size in zip(keys, [*counts, occurrences], sizes)
        ]

    def log_probs(self, tokens: np.ndarray, skip: int = 0) -> np.ndarray:
        """Return the log-probability (N - skip,) in nats of each token of a stream after those before it.

        skip: so many first tokens are only stood after.
        """
        tokens = np.asarray(tokens, np.int64)
        probs = np.full(len(tokens), 1.0 / self.possible)
        contexts = np.zeros(len(tokens), np.int64)  # of the k - 1 tokens from each place on; -1 where never seen
        for k, level in enumerate(self.levels, 1):
            contexts = contexts[: len(tokens) - k + 1]
            places = _find(level.keys, contexts * self.vocabulary_size + tokens[k - 1 :], contexts >= 0)
            counts = np.where(places >= 0, level.counts[places], 0)
            totals = np.where(contexts >= 0, level.totals[contexts], 0)
            kept = counts - level.discounts[np.minimum(counts, 3)]
            known = kept / np.maximum(totals, 1) + level.backoff[contexts] * probs[k - 1 :]
            probs[k - 1 :] = np.where(totals > 0, known, probs[k - 1 :])
            contexts = places
        return np.log(probs[skip:])


def _level(keys: np.ndarray, counts: np.ndarray, contexts: np.ndarray, size: int) -> Level:
    discounts = discounts_of(counts)
    totals = np.bincount(contexts, counts, size)
    taken = np.bincount(contexts, discounts[np.minimum(counts, 3)], size)
    return Level(keys, counts, discounts, totals, taken / np.maximum(totals, 1))


def discounts_of(counts: np.ndarray) -> np.ndarray:
    """Return what is taken off a count of 0, 1, 2 and 3 or more (Chen and Goodman 1999, equation 26), or FALLBACK."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)  # how many have a count of 1, 2, 3, 4
    if not n.all():
        return FALLBACK
    y = n[0] / (n[0] + 2.0 * n[1])
    found = np.array([0.0, *(j - (j + 1) * y * n[j] / n[j - 1] for j in (1, 2, 3))])
    return found if (found[1:] > 0).all() else FALLBACK


def _find(keys: np.ndarray, wanted: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the place of each wanted key, or -1 where it is not there or not ``asked``."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(asked & (keys[places] == wanted), places, -1)
