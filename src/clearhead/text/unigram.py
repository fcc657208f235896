"""Learning a unigram vocabulary: the pieces and log-probabilities under which the corpus's words are likeliest.

Kudo 2018, "Subword Regularization", section 3.2: start with many frequent substrings, fit their probabilities by EM
over all segmentations of every word, take out the pieces whose loss costs the least likelihood, and repeat. Written
here because the library's trainer gives another vocabulary in every run: it sums floating-point numbers in hash order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

MAX_PIECE = 16
"""Longest piece, in characters."""
MAX_WORD = 64
"""A longer word (scripts without spaces) is learnt from in parts of this many characters."""
MAX_WORDS = 200_000
"""So many most frequent words are learnt from; what is rarer adds time and memory, not pieces."""
SEEDS_PER_PIECE = 10
"""How many candidates there are at the start for each piece wanted."""
KEEP = 0.75
"""Share of the candidates that a round of pruning keeps."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


def learn_unigram(words: Mapping[str, int], alphabet: Iterable[str], size: int) -> list[tuple[str, float]]:
    """Return at most ``size`` pieces and their log-probabilities, likeliest first; fewer if the words give no more.

    Args:
        words: how often each word occurs.
        alphabet: the characters, all of which become pieces; a word is cut at any other character.
        size: number of pieces, at least that of the characters.
    """
    characters = sorted(alphabet)
    parts = _parts(words, set(characters))
    pieces = characters + _seeds(parts, SEEDS_PER_PIECE * size)
    corpus = _lattices(list(parts), list(parts.values()), pieces)
    own = _lattices(pieces, [1] * len(pieces), pieces)

    alive = np.ones(len(pieces), dtype=bool)
    scores = np.full(len(pieces), -np.log(len(pieces)))
    while True:
        for _ in range(2):
            expected = _expected_counts(corpus, scores)
            scores = _scores(expected, alive)
        n_alive = int(alive.sum())
        if n_alive <= size:
            break
        removable = alive & (np.arange(len(pieces)) >= len(characters))
        gain = np.where(alive, np.inf, -np.inf)
        gain[removable] = expected[removable] * (scores - _without_itself(own, scores))[removable]
        keep = max(size, int(KEEP * n_alive))
        alive[np.argsort(-gain, kind="stable")[keep:]] = False
        scores = np.where(alive, scores, -np.inf)
    chosen = sorted(np.flatnonzero(alive), key=lambda i: (-scores[i], pieces[i]))
    return [(pieces[i], round(float(scores[i]), 6)) for i in chosen]


# --- candidates ---------------------------------------------------------------------------------------------------


def _parts(words: Mapping[str, int], alphabet: set[str]) -> dict[str, int]:
    """Cut words at characters outside the alphabet and after ``MAX_WORD`` characters."""
    parts: Counter[str] = Counter()
    for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:MAX_WORDS]:
        for is_known, run in groupby(word, alphabet.__contains__):
            part = "".join(run) if is_known else ""
            for start in range(0, len(part), MAX_WORD):
                parts[part[start : start + MAX_WORD]] += count
    return dict(parts)


def _seeds(parts: Mapping[str, int], limit: int) -> list[str]:
    """Return the ``limit`` substrings that cover most characters, of those that occur twice."""
    seeds: list[tuple[int, str]] = []
    frequent: set[str] | None = None
    for length in range(2, MAX_PIECE + 1):
        counts: Counter[str] = Counter()
        for part, count in parts.items():
            for start in range(len(part) - length + 1):
                piece = part[start : start + length]
                # what occurs twice has both its halves in the last round's set: rare substrings need no memory
                if frequent is None or (piece[1:] in frequent and piece[:-1] in frequent):
                    counts[piece] += count
        frequent = {piece for piece, count in counts.items() if count > 1}
        seeds += [(-length * counts[piece], piece) for piece in frequent]
    return [piece for _, piece in sorted(seeds)[:limit]]


# --- segmentations ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lattice:
    """All pieces in N strings of one length L.

    rows: (N,) the strings' places in the list they come from.
    counts: (N,) how often each string occurs.
    ends: for t = 1..L an array (N, k), k = min(t, MAX_PIECE): the piece from t-k+j to t in column j; -1 for none.
    """

    rows: Ints
    counts: Floats
    ends: list[Ints]


def _lattices(strings: Sequence[str], counts: Sequence[int], pieces: Sequence[str]) -> list[_Lattice]:
    index = {piece: i for i, piece in enumerate(pieces)}
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for row, string in enumerate(strings):
        by_length[len(string)].append(row)
    lattices = []
    for length, rows in sorted(by_length.items()):
        ends = [
            np.array(
                [[index.get(strings[row][start:t], -1) for start in range(max(0, t - MAX_PIECE), t)] for row in rows],
                dtype=np.int32,
            )
            for t in range(1, length + 1)
        ]
        weights = np.array([counts[row] for row in rows], dtype=np.float64)
        lattices.append(_Lattice(np.array(rows, dtype=np.int32), weights, ends))
    return lattices


def _expected_counts(lattices: list[_Lattice], scores: Floats) -> Floats:
    """E-step: how often each piece is used, over all segmentations by their probability."""
    padded = np.append(scores, -np.inf)  # what -1 points to
    total = np.zeros(len(padded))
    for lattice in lattices:
        length = len(lattice.ends)
        before = _forward(lattice, padded, np.logaddexp)
        after = np.full_like(before, -np.inf)
        after[:, length] = 0.0
        for t in range(length, 0, -1):
            piece = lattice.ends[t - 1]
            span = slice(t - piece.shape[1], t)
            tail = padded[piece] + after[:, t, None]  # (N, k)
            after[:, span] = np.logaddexp(after[:, span], tail)
            posterior = np.exp(before[:, span] + tail - before[:, length, None]) * lattice.counts[:, None]
            total += np.bincount(piece.ravel() % len(padded), posterior.ravel(), minlength=len(padded))
    return total[:-1]


def _forward(lattice: _Lattice, padded: Floats, combine: np.ufunc) -> Floats:
    """Return the log-probability of each prefix, (N, L + 1): of all segmentations (logaddexp) or the best (maximum)."""
    before = np.zeros((len(lattice.rows), len(lattice.ends) + 1))
    for t, piece in enumerate(lattice.ends, 1):
        before[:, t] = combine.reduce(before[:, t - piece.shape[1] : t] + padded[piece], axis=1)
    return before


def _scores(expected: Floats, alive: NDArray[np.bool_]) -> Floats:
    """M-step: log-probabilities, rare pieces a little lower (Kudo's digamma(c), which is nearly log(c - 1/2))."""
    weight = np.maximum(expected - 0.5, 1e-3)
    weight = np.where(alive, weight, 0.0)
    with np.errstate(divide="ignore"):
        scores: Floats = np.log(weight) - np.log(weight.sum())
    return scores


def _without_itself(own: list[_Lattice], scores: Floats) -> Floats:
    """Return the log-probability of each piece's best segmentation into others; 0 for a character, which has none."""
    padded = np.append(scores, -np.inf)
    best = np.zeros(len(scores))
    for lattice in own:
        if len(lattice.ends) > 1:
            *ends, last = lattice.ends
            last = np.where(np.arange(last.shape[1]) == 0, -1, last)  # column 0 is the whole piece
            others = _Lattice(lattice.rows, lattice.counts, [*ends, last])
            best[lattice.rows] = _forward(others, padded, np.maximum)[:, -1]
    return best
