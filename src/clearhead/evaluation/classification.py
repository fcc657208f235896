"""How good a classifier is: accuracy, F1, the confusion matrix, intervals, and McNemar's test between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

RESAMPLES = 1000
RESAMPLE_SEED = 12345


@dataclass(frozen=True)
class ClassificationScores:
    """What became of texts whose labels are known.

    confusion: (C, C) counts; row: the right label, column: what was said.
    accuracy and its interval (Wilson 1927, 95 %); macro_f1: the mean of the classes' F1; f1: each class's.
    """

    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: float
    interval: tuple[float, float]
    f1: tuple[float, ...]
    macro_f1: float

    @cached_property
    def macro_f1_interval(self) -> tuple[float, float]:
        """The mean F1's 95 % interval: of as many texts, drawn anew from these (Efron 1979), a thousand times."""
        counts = np.array(self.confusion)
        seen, total = counts.nonzero(), counts.sum()
        means = []
        for draw in np.random.default_rng(RESAMPLE_SEED).multinomial(total, counts[seen] / total, RESAMPLES):
            counts[seen] = draw
            means.append(_f1(counts).mean())
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain data for JSON."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "macro_f1_interval": self.macro_f1_interval}


def classification_scores(labels: Sequence[str], right: Sequence[int], said: Sequence[int]) -> ClassificationScores:
    """Return the scores of ``said`` against ``right``, both numbers of ``labels``.

    A class that neither occurs nor is said has F1 0, as one that is always wrong.
    """
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (np.asarray(right, np.int64), np.asarray(said, np.int64)), 1)
    hits, total = np.diag(counts), int(counts.sum())
    f1 = _f1(counts)
    return ClassificationScores(
        labels=tuple(labels),
        confusion=tuple(tuple(map(int, row)) for row in counts),
        accuracy=int(hits.sum()) / total,
        interval=wilson(int(hits.sum()), total),
        f1=tuple(map(float, f1)),
        macro_f1=float(f1.mean()),
    )


def _f1(counts: np.ndarray) -> np.ndarray:
    """Return each class's F1 of a confusion matrix."""
    sums = counts.sum(axis=0) + counts.sum(axis=1)
    return np.divide(2 * np.diag(counts), sums, out=np.zeros(len(counts)), where=sums > 0)


def wilson(hits: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the interval of a share that was seen ``hits`` of ``total`` times (Wilson 1927); z: 95 % by default."""
    share, squared = hits / total, z * z
    middle = (share + squared / (2 * total)) / (1 + squared / total)
    half = z / (1 + squared / total) * math.sqrt(share * (1 - share) / total + squared / (4 * total * total))
    return middle - half, middle + half


@dataclass(frozen=True)
class McNemar:
    """Whether two classifiers differ on the same texts (McNemar 1947), by the exact binomial test, two-sided.

    only_first, only_second: texts that only the one, or only the other, has right.
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(right: Sequence[int], first: Sequence[int], second: Sequence[int]) -> McNemar:
    """Compare what two classifiers said with what is right, text by text."""
    hits = [np.asarray(said) == np.asarray(right) for said in (first, second)]
    one, other = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    return McNemar(one, other, _binomial_two_sided(min(one, other), one + other))


def _binomial_two_sided(few: int, total: int) -> float:
    """Return the chance of at most ``few`` or at least ``total - few`` heads in ``total`` tosses of a fair coin."""
    if 2 * few >= total:
        return 1.0
    log_half = total * math.log(0.5)
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) + log_half for k in range(few + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))
