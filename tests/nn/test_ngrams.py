"""N-grams by hash: a run's vector depends on the run alone."""

from __future__ import annotations

import torch

from clearhead.nn.ngrams import FACTOR, PRIME, NgramEmbedding


def made(longest=4, buckets=10_007):
    embedding = NgramEmbedding(longest, buckets, 3, 5)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in embedding.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    return embedding


def place(run, buckets):
    """Where the vector of a run of ids is, by Python's integers."""
    first, *rest = run
    for length, id in enumerate(rest, 2):
        first = (first * FACTOR + id + length) % PRIME
    return first % buckets


def test_it_equals_a_loop_over_the_runs():
    embedding, ids = made(), torch.randint(0, 30_000, (3, 9), generator=torch.Generator().manual_seed(1))
    found = embedding(ids)
    for row, text in enumerate(ids.tolist()):
        text = [0] * 3 + text  # zeros stand in front
        for at in range(3, len(text)):
            rows = [embedding.weight[place(text[at - n + 1 : at + 1], 10_007)] for n in (2, 3, 4)]
            torch.testing.assert_close(found[row, at - 3], sum(rows) @ embedding.w_up.weight.T)


def test_a_run_is_the_same_wherever_it_stands_and_unlike_its_reverse():
    embedding, ids = made(), torch.tensor([[0, 0, 7, 8, 9, 5, 7, 8, 9, 9, 8, 7]])
    places = embedding.places(ids)[0]
    assert torch.equal(places[4, :2], places[8, :2])  # 8 9 and 7 8 9
    assert not torch.equal(places[4, 1], places[11, 1])
    assert not torch.equal(places[4, 2], places[8, 2])  # of four the first differs


def test_hashes_spread_evenly():
    ids = torch.randint(0, 2000, (200, 50), generator=torch.Generator().manual_seed(1))
    counts = torch.bincount(made(3, 256).places(ids).flatten(), minlength=256).double()
    assert ((counts - counts.mean()).abs() < 6 * counts.mean().sqrt()).all()
