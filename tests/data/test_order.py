"""Batches: every pair in its place once, the budget kept, and the whole order a pure function of (seed, epoch)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.data.order import BatchOrder, micro_batches

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=60)
SEED = st.integers(0, 2**63)


def size(batch, corpus):
    return len(batch) * max(corpus.src_lengths[batch].max(), corpus.tgt_lengths[batch].max())


def captions(toy, n=3000):
    """A corpus with the lengths of captions: about 14 tokens, the two sides alike."""
    random = np.random.default_rng(1)
    src = 3 + random.poisson(11, n)
    return toy.corpus_of_lengths(src, np.maximum(1, src + random.integers(-3, 4, n)))


@given(LENGTHS, st.integers(1, 200), SEED, st.integers(0, 5))
def test_an_epoch_has_every_pair_once_and_keeps_the_budget(toy, lengths, budget, seed, epoch):
    corpus = toy.corpus_of_lengths(*zip(*lengths))
    batches = BatchOrder(corpus, budget, seed).epoch(epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.dtype == np.int64
        assert size(batch, corpus) <= budget or len(batch) == 1


@given(LENGTHS, SEED, st.integers(0, 1000))
def test_an_epoch_is_a_function_of_seed_and_number_alone(toy, lengths, seed, epoch):
    one = BatchOrder(toy.corpus_of_lengths(*zip(*lengths)), 50, seed)
    one.epoch(epoch + 1)  # what was asked before leaves no trace
    other = BatchOrder(toy.corpus_of_lengths(*zip(*lengths)), 50, seed)
    assert [batch.tolist() for batch in one.epoch(epoch)] == [batch.tolist() for batch in other.epoch(epoch)]


def test_epochs_and_seeds_differ_in_order_and_in_who_meets_whom(toy):
    corpus = captions(toy)
    plans = [BatchOrder(corpus, 512, seed).epoch(epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    for i, one in enumerate(plans):
        for other in plans[:i]:
            assert [batch.tolist() for batch in one] != [batch.tolist() for batch in other]
            groups = {frozenset(batch.tolist()) for batch in one} & {frozenset(batch.tolist()) for batch in other}
            assert len(groups) < 0.1 * len(one)


def test_an_epoch_does_not_run_from_short_to_long(toy):
    corpus = captions(toy)
    means = [corpus.src_lengths[batch].mean() for batch in BatchOrder(corpus, 512, 1).epoch(0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_batches_are_full_and_little_is_padding(toy):
    corpus = captions(toy)
    batches = BatchOrder(corpus, 1024, 1).epoch(0)
    assert np.mean([size(batch, corpus) for batch in batches]) > 0.95 * 1024
    assert padding(batches, corpus) < 0.1


def padding(batches, corpus):
    """The share of padding among all tokens of both sides."""
    places = sum(len(b) * (corpus.src_lengths[b].max() + corpus.tgt_lengths[b].max()) for b in batches)
    return 1 - sum(int(corpus.src_lengths[b].sum() + corpus.tgt_lengths[b].sum()) for b in batches) / places


def test_a_pair_longer_than_the_budget_is_a_batch_of_its_own(toy):
    corpus = toy.corpus_of_lengths([5, 70_000, 5], [5, 5, 5])
    batches = BatchOrder(corpus, 20, 1).epoch(0)
    assert sorted(sorted(batch.tolist()) for batch in batches) == [[0, 2], [1]]


def test_weights_reach_the_batches(toy):
    corpus = toy.corpus(toy.part([([], [])] * 3, weight=2.0), toy.part([([], [])] * 4, weight=0.5))
    drawn = np.concatenate(BatchOrder(corpus, 4, 1).epoch(0)).tolist()
    assert sorted(drawn)[:6] == [0, 0, 1, 1, 2, 2] and len(drawn) == 8


# --- micro-batches ------------------------------------------------------------------------------------------------


@given(LENGTHS, st.integers(1, 300), st.randoms(use_true_random=False))
def test_micro_batches_share_the_batch_out_and_keep_their_budget(toy, lengths, budget, random):
    corpus = toy.corpus_of_lengths(*zip(*lengths))
    batch = np.array(random.sample(range(len(lengths)), random.randint(1, len(lengths))))
    pieces = micro_batches(batch, corpus, budget)
    assert sorted(np.concatenate(pieces).tolist()) == sorted(batch.tolist())
    assert all(size(piece, corpus) <= budget or len(piece) == 1 for piece in pieces)
    again = micro_batches(batch.copy(), corpus, budget)
    assert [piece.tolist() for piece in pieces] == [piece.tolist() for piece in again]


def test_micro_batches_pad_much_less_than_their_batches(toy):
    corpus = captions(toy)
    batches = BatchOrder(corpus, 4096, 1).epoch(0)
    pieces = [piece for batch in batches for piece in micro_batches(batch, corpus, 1024)]
    assert padding(pieces, corpus) < 0.65 * padding(batches, corpus)


def test_the_longest_micro_batch_comes_first(toy):
    corpus = captions(toy)
    for batch in BatchOrder(corpus, 4096, 1).epoch(0):
        pieces = micro_batches(batch, corpus, 1024)
        longest = [np.maximum(corpus.src_lengths[piece], corpus.tgt_lengths[piece]).max() for piece in pieces]
        assert longest == sorted(longest, reverse=True)


def test_one_micro_batch_suffices_where_the_batch_fits(toy):
    corpus = captions(toy)
    assert all(len(micro_batches(batch, corpus, 512)) == 1 for batch in BatchOrder(corpus, 512, 1).epoch(0))


@pytest.mark.parametrize("longest, dtype", [(200, np.uint8), (300, np.uint16), (7_000, np.uint16)])
def test_sizes_do_not_overflow(longest, dtype, toy):
    corpus = toy.corpus_of_lengths([longest] * 40, [1] * 40)
    assert np.min_scalar_type(longest) == dtype
    assert [len(batch) for batch in BatchOrder(corpus, longest * 20, 1).epoch(0)] == [20, 20]
