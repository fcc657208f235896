"""Which pairs make up which batch: length buckets, a token budget, and an order that follows from (seed, epoch)."""

from __future__ import annotations

import numpy as np

from clearhead.data.corpus import Mixture
from clearhead.data.randomness import generator


class BatchOrder:
    """The batches of every epoch; a position in training is two integers, (epoch, number of the batch in it).

    Args:
        corpus: the pairs.
        batch_tokens: the most that rows times the batch's longest side may be, eos and tag counted. A pair that is
            longer than this by itself makes a batch of its own.
        seed: the run's seed.
    """

    def __init__(self, corpus: Mixture, batch_tokens: int, seed: int) -> None:
        self.corpus = corpus
        self.batch_tokens = batch_tokens
        self.seed = seed

    def epoch(self, n: int) -> list[np.ndarray]:
        """Return epoch ``n``'s batches in their order, each the int64 indexes of its pairs, shortest pair first.

        The pairs are shuffled and then sorted by their longer side alone: that leaves little padding (about 7 % on
        Multi30K), and pairs of one length meet others in every epoch. Sorting on would save some more padding and cost
        that mixing.
        """
        random = generator(self.seed, "order", n)
        pairs = random.permutation(self.corpus.draws(self.seed, n))
        longest = _longest(self.corpus, pairs)
        by_length = np.argsort(longest, kind="stable")
        batches = _cut(pairs[by_length], longest[by_length], self.batch_tokens)
        return [batches[i] for i in random.permutation(len(batches))]


def micro_batches(indexes: np.ndarray, corpus: Mixture, micro_batch_tokens: int) -> list[np.ndarray]:
    """Cut one batch into pieces that a machine holds: rows times longest side at most ``micro_batch_tokens``.

    Each pair is in one piece; the longest come first (what memory suffices for the first suffices for all), and within
    one length pairs with like sources lie together, so that less is padded than in the whole batch. A function of the
    batch alone.
    """
    longest = _longest(corpus, indexes)
    by_length = np.lexsort((corpus.src_lengths[indexes], longest))[::-1]
    return _cut(indexes[by_length], longest[by_length], micro_batch_tokens)


def _longest(corpus: Mixture, pairs: np.ndarray) -> np.ndarray:
    """Each pair's longer side, in the smallest type that holds it: numpy sorts 16 bits by radix, ten times as fast."""
    longest = np.maximum(corpus.src_lengths[pairs], corpus.tgt_lengths[pairs])
    return longest.astype(np.min_scalar_type(longest.max(initial=0)))


def _cut(pairs: np.ndarray, longest: np.ndarray, budget: int) -> list[np.ndarray]:
    """Cut ``pairs``, sorted by ``longest`` (rising or falling), into batches of as many rows as ``budget`` allows."""
    batches, start = [], 0
    while start < len(pairs):
        most = max(1, budget // int(longest[start]))  # where it falls, the first row is the longest and this is it
        sizes = longest[start : start + most] * np.arange(1, 1 + len(longest[start : start + most]), dtype=np.int64)
        end = start + max(1, int(np.searchsorted(sizes, budget, side="right")))
        batches.append(pairs[start:end])
        start = end
    return batches
