"""N-grams: what runs of tokens say is naive Bayes over the training texts, times what was learned."""

from __future__ import annotations

import math

import numpy as np
import torch

from clearhead.nn import ngrams
from clearhead.nn.ngrams import NgramEvidence, _settled
from clearhead.runs.reduced import reduced, restored

TEXTS = [([5, 6, 7, 5, 6], 0), ([5, 6], 0), ([5, 6, 8], 1), ([9, 7, 8], 2), ([5, 7, 8, 9], 1)] * 2 + [([11], 2)]
LABELS = 3


def batch_of(texts):
    longest = max(len(ids) for ids, _ in texts)
    ids = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids, _ in texts])
    mask = torch.arange(longest) < torch.tensor([len(ids) for ids, _ in texts])[:, None]
    return ids, mask, torch.tensor([label for _, label in texts])


def counted(longest=3, buckets=4_001, min_count=2, batches=(slice(0, 4), slice(4, None))):
    evidence = NgramEvidence(longest, buckets, LABELS, min_count)
    torch.nn.init.ones_(evidence.weight)
    torch.nn.init.ones_(evidence.gain)
    evidence.count(batch_of(TEXTS[each]) for each in batches)
    return evidence


def runs_of(ids, longest=3):
    ids = [*[0] * (longest - 1), *ids]
    ends = range(longest - 1, len(ids))
    return [[tuple(ids[end - n + 1 : end + 1]) for n in range(1, longest + 1)] for end in ends]


def test_evidence_is_naive_bayes_over_the_texts_that_a_run_stands_in():
    stands = {}
    for ids, label in TEXTS:
        for run in {run for ending in runs_of(ids) for run in ending}:
            stands.setdefault(run, [0] * LABELS)[label] += 1
    frequent = {run: counts for run, counts in stands.items() if sum(counts) >= 2}
    assert len(frequent) < len(stands)
    total = [sum(counts[label] + 1 for counts in frequent.values()) for label in range(LABELS)]
    looked_at = [5, 6, 8, 7, 5, 6, 11]
    said, square, seen = [], np.zeros(LABELS), set()
    for ending in ([run for run in ending if run in frequent and run not in seen] for ending in runs_of(looked_at)):
        seen.update(ending)
        known = [
            [math.log((n + 1) / every) for n, every in zip(frequent[run], total)] for run in ending if run in frequent
        ]
        ratios = np.array([[each - one[0] for each in one] for one in known]).reshape(-1, LABELS)
        said.append(ratios.sum(axis=0))
        square += (ratios**2).sum(axis=0)
    expected = np.stack(said) / np.sqrt(np.append(1.0, square[1:]))
    ids = torch.tensor([[*looked_at, 9, 8]])  # two more than the mask says there are
    found = counted()(ids, torch.arange(9)[None] < 7)[0, :7]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5, atol=1e-6)


def test_counting_does_not_depend_on_batches_or_padding():
    whole, parts = counted(batches=[slice(None)]), counted(batches=[slice(i, i + 1) for i in range(len(TEXTS))])
    assert torch.equal(whole.evidence, parts.evidence) and torch.equal(whole.mark, parts.mark)


def test_what_is_learned_is_how_much_a_run_counts():
    evidence, ids, mask = counted(), torch.tensor([[5, 6, 8]]), torch.ones(1, 3, dtype=torch.bool)
    once = evidence(ids, mask)
    with torch.no_grad():
        evidence.weight.mul_(2.0)
    torch.testing.assert_close(evidence(ids, mask), 2 * once)
    evidence(torch.tensor([[12, 13, 14]]), mask).sum().backward()
    assert not evidence.weight.grad.any()  # never seen


def test_where_there_is_no_room_the_more_frequent_runs_stay():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 100, (2, 90))
    places, stands = _settled(first, second, 100)
    assert ((places == first) | (places == second)).all()
    assert len(set(places[stands])) == stands.sum() > 75
    alone, there = _settled(np.array([3, 3, 3]), np.array([3, 3, 4]), 5)
    assert there.tolist() == [True, False, True] and alone[2] == 4


def test_in_a_table_too_small_the_frequent_runs_are_known():
    ids = torch.tensor([[token] for token in range(5, 45) for _ in range(token)])  # the last are the most frequent
    few = NgramEvidence(1, 20, 2, 1)
    few.count([(ids, torch.ones_like(ids, dtype=torch.bool), ids[:, 0] % 2)])
    known = few._find(few._runs(torch.arange(5, 45)[None]))[1][0, :, 0]
    assert known[-5:].all() and known[-20:].sum() > 2 * known[:20].sum() and few.mark.count_nonzero() > 15


def test_marks_survive_storage_in_few_bits():
    ids = torch.randint(5, 300, (64, 30), generator=torch.Generator().manual_seed(3))
    evidence = NgramEvidence(3, 8_000, 2, 1)
    torch.nn.init.ones_(evidence.weight)
    evidence.count([(ids, torch.ones_like(ids, dtype=torch.bool), ids[:, 0] % 2)])
    assert set(evidence.mark.unique().tolist()) <= {*range(-127, 128)} and (evidence.mark == 0).any()
    few = evidence.mark.where(evidence.mark.abs() < 100, 0)  # none is the largest that there may be
    for storage in ("bf16", "int8"):
        for marks in (evidence.mark, few):
            assert torch.equal(restored(reduced({"mark": marks}, storage))["mark"], marks)


def test_too_many_runs_forget_those_seen_once(monkeypatch):
    monkeypatch.setattr(ngrams, "MOST", 5)
    evidence = counted(min_count=1, batches=[slice(i, i + 1) for i in range(len(TEXTS))])
    assert 0 < evidence.mark.count_nonzero() < counted(min_count=1).mark.count_nonzero()
