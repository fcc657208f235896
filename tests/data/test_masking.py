"""Masking: how many, which, what becomes of them, and that a draw follows from (seed, epoch, text) alone."""

import numpy as np
import pytest
import torch

from clearhead.data.masking import Masker, asked_counts
from clearhead.data.texts import TextBatch

PAD, BOS, EOS, MASK, ORDINARY = 0, 2, 3, 9, range(10, 400)


def batch_of(texts) -> TextBatch:
    rows = [[BOS, *text, EOS] for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    mask = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
    return TextBatch(ids, mask, torch.zeros_like(ids), torch.full((len(rows),), -1))


def masker(seed=1, words=None) -> Masker:
    return Masker(seed, MASK, ORDINARY, [PAD, BOS, EOS], words)


def texts(count, draw, longest=60):
    return [draw.integers(10, 400, draw.integers(0, longest)).tolist() for _ in range(count)]


@pytest.mark.parametrize("whole_words", [False, True])
def test_fifteen_percent_are_asked_and_nothing_else_changes(whole_words):
    words = np.random.default_rng(5).random(400) < 0.5 if whole_words else None
    given = batch_of(texts(200, np.random.default_rng(0)))
    found = masker(words=words)(given, np.arange(200), 0)
    lengths = given.mask.sum(1).numpy() - 2
    assert found.asked.sum(1).tolist() == asked_counts(lengths).tolist()
    assert not (found.asked & ((given.ids < 10) | ~given.mask)).any()
    assert torch.equal(found.ids[~found.asked], given.ids[~found.asked])
    assert torch.equal(found.targets, given.ids[found.asked])


def test_eighty_ten_ten():
    given = batch_of(texts(4000, np.random.default_rng(0)))
    found = masker()(given, np.arange(4000), 0)
    seen, n = found.ids[found.asked], found.asked.sum().item()
    assert (seen == MASK).sum().item() / n == pytest.approx(0.8, abs=0.01)
    assert (seen == found.targets).sum().item() / n == pytest.approx(0.1 + 0.1 / len(ORDINARY), abs=0.01)
    other = seen[(seen != MASK) & (seen != found.targets)]
    assert len(set(other.tolist())) > 350 and other.min() >= 10, "any ordinary token may stand in"
    place = found.asked.nonzero()[:, 1].float() - 1
    assert (place / (given.mask.sum(1) - 2)[found.asked.nonzero()[:, 0]]).mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_draw_follows_from_seed_epoch_and_text_and_not_from_the_batch():
    given = batch_of(texts(30, np.random.default_rng(0)))
    whole = masker()(given, np.arange(30), 3)
    part = batch_of([row[mask][1:-1].tolist() for row, mask in zip(given.ids[7:9], given.mask[7:9])])
    alone = masker()(part, np.array([7, 8]), 3)
    for row in (0, 1):
        assert alone.ids[row][part.mask[row]].tolist() == whole.ids[7 + row][given.mask[7 + row]].tolist()
    for other in (masker(seed=2)(given, np.arange(30), 3), masker()(given, np.arange(30), 4)):
        assert not torch.equal(other.asked, whole.asked)


def test_whole_words_are_chosen_whole_where_they_fit():
    words = np.zeros(400, bool)
    words[10:200] = True  # a word is one of these and what follows it
    text = [token for n in range(40) for token in (10 + n, 300 + n, 340 + n)]
    whole = 0
    for epoch in range(20):
        asked = masker(words=words)(batch_of([text]), np.array([0]), epoch).asked[0, 1:-1].reshape(40, 3)
        whole += int((asked.sum(1) == 3).sum())
        assert sorted(asked.sum(1).tolist(), reverse=True)[:6] == [3] * 6, "18 of 120 are six words"
    assert whole == 120
    three = masker(words=words)(batch_of([text[:9]]), np.array([0]), 0)  # 1 of 9: no word fits
    assert three.asked.sum() == 1 and int(three.targets[0]) < 200, "then a word's first tokens"
