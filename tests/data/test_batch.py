"""collate gathers many rows at once; one row at a time in plain Python says the same."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.data.batch import Batch, collate

PAD, START = 0, 2
ROW = st.lists(st.integers(10, 60_000), max_size=5)
PARTS = st.lists(
    st.tuples(st.lists(st.tuples(ROW, ROW), min_size=1, max_size=5), st.sampled_from([None, 5])), min_size=1, max_size=3
)


def one_by_one(corpus, indexes, start):
    """What collate should give, pair by pair."""
    pairs = [corpus.pair(int(i)) for i in indexes]
    width, height = (max(len(pair[side]) for pair in pairs) for side in (0, 1))

    def padded(rows, width):
        return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])

    return Batch(
        src=padded([src for src, _ in pairs], width),
        src_mask=padded([[1] * len(src) for src, _ in pairs], width).bool(),
        tgt_input=padded([[start, *tgt[:-1]] for _, tgt in pairs], height),
        tgt_output=padded([tgt for _, tgt in pairs], height),
        tgt_mask=padded([[1] * len(tgt) for _, tgt in pairs], height).bool(),
    )


@given(PARTS, st.data(), st.sampled_from([START, 3, PAD]))
def test_collate_equals_one_by_one(toy, parts, data, start):
    """Several parts, tags, repeated pairs, any order, each of the three starts."""
    corpus = toy.corpus(*[toy.part(pairs, tag_id=tag) for pairs, tag in parts])
    indexes = np.array(data.draw(st.lists(st.integers(0, len(corpus) - 1), min_size=1, max_size=8)))
    batch, expected = collate(corpus, indexes, PAD, start), one_by_one(corpus, indexes, start)
    for name in Batch.__dataclass_fields__:
        ours, theirs = getattr(batch, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), name


def test_masks_follow_from_lengths_not_from_ids(toy):
    batch = collate(toy.corpus(toy.part([([PAD, 11], [PAD]), ([], [])])), np.array([0, 1]), PAD, PAD)
    assert batch.src_mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.tgt_mask.tolist() == [[True, True], [True, False]]


def test_tensors_own_their_memory(toy):
    corpus = toy.corpus(toy.part([([11], [12])]))
    collate(corpus, np.array([0]), PAD, START).src.fill_(99)
    assert corpus.pair(0) == ([11, 3], [12, 3])
