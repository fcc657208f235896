"""Corpora of single texts: each row against one put together by hand, and a packed stream against the text itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.config import DataConfig, TextFile, TsvTexts
from clearhead.data.corpus import Part
from clearhead.data.order import BatchOrder
from clearhead.data.store import TokenStore
from clearhead.data.texts import PackedCorpus, TextCorpus, open_packed, open_texts
from clearhead.errors import CorpusError
from clearhead.text.corpus import LostPairs

TEXT = st.lists(st.integers(10, 60_000), min_size=1, max_size=9)
TWOS = st.lists(st.tuples(TEXT, st.one_of(st.just([]), TEXT)), min_size=1, max_size=6)


def part(toy, texts, labels=None, rows=None) -> Part:
    """A part in memory; of texts that come in twos each a pair of lists."""
    sides = toy.stored([first for first, _ in texts]), toy.stored([second for _, second in texts])
    labels = None if labels is None else np.array(labels, np.int32)
    store = TokenStore(toy.Path("memory"), *sides, LostPairs(len(texts), len(texts)), "", labels)
    return Part(store, np.arange(len(texts)) if rows is None else np.array(rows))


def cut(first, second, room):
    """Take tokens off the end of the longer text, one by one."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


@given(st.lists(TWOS, min_size=1, max_size=3), st.integers(7, 30), st.integers(1, 2), st.randoms())
def test_a_batch_of_texts_is_each_text_put_together_by_hand(toy, parts, limit, separators, random):
    corpus = TextCorpus([part(toy, texts) for texts in parts], toy.BOS, toy.EOS, limit, separators)
    texts = [text for each in parts for text in each]
    rows, segments = [], []
    for first, second in texts:
        between = [toy.EOS] * separators if second else []
        kept = cut(first, second, limit - 2 - len(between))
        rows.append([toy.BOS, *kept[0], *between, *kept[1], toy.EOS])
        segments.append([0] * (len(rows[-1]) - len(kept[1]) - 1) + [1 if second else 0] * (len(kept[1]) + 1))
        assert corpus.text_ids(len(rows) - 1) == rows[-1][1:-1]
    assert corpus.src_lengths.tolist() == [len(row) for row in rows]
    beside = (2 + separators * bool(second) for _, second in texts)
    assert corpus.cut == sum(len(row) - n < len(f) + len(s) for row, n, (f, s) in zip(rows, beside, texts))
    indexes = np.array(random.sample(range(len(texts)), random.randint(1, len(texts))))
    batch = corpus.batch(indexes, toy.PAD)
    for row, mask, segment, i in zip(batch.ids, batch.mask, batch.segments, indexes):
        assert row[mask].tolist() == rows[i] and set(row[~mask].tolist()) <= {toy.PAD}
        assert segment[mask].tolist() == segments[i] and not segment[~mask].any()
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)
    assert batch.labels.tolist() == [-1] * len(indexes)


def test_labels_follow_their_texts(toy):
    parts = [part(toy, [([11], []), ([12], []), ([13], [])], [0, 1, 2], rows=[2, 0]), part(toy, [([14], [])], [1])]
    corpus = TextCorpus(parts, toy.BOS, toy.EOS, 10)
    batch = corpus.batch(np.array([2, 0, 1]), toy.PAD)
    assert batch.ids[:, 1].tolist() == [14, 13, 11] and batch.labels.tolist() == [1, 2, 0]
    assert corpus.labels().tolist() == [2, 0, 1]


@given(st.lists(st.lists(TEXT, min_size=1, max_size=6), min_size=1, max_size=3), st.integers(1, 40))
def test_packed_blocks_put_together_are_the_texts_between_eos(toy, parts, block):
    corpus = PackedCorpus([part(toy, [(text, []) for text in texts]) for texts in parts], toy.EOS, block)
    streams = [[toy.EOS] + [token for text in texts for token in [*text, toy.EOS]] for texts in parts]
    assert sum(corpus.src_lengths) == sum(len(stream) - 1 for stream in streams)
    rows, lengths = corpus.rows(np.arange(len(corpus)), toy.PAD)
    assert lengths.max() <= block and lengths.min() >= 1
    for number, stream in enumerate(streams):
        mine = range(corpus.starts[number], corpus.starts[number + 1])
        blocks = [rows[i, : lengths[i] + 1].tolist() for i in mine]
        assert [token for each in blocks for token in each[1:]] == stream[1:], "each token is foretold once"
        assert [each[0] for each in blocks] == stream[:-1][::block], "from the one before it"
    assert all((row[n + 1 :] == toy.PAD).all() for row, n in zip(rows, lengths))


def test_a_block_comes_from_the_text_that_it_begins_in(toy):
    texts = [([20 + n] * 3, []) for n in range(4)]  # the stream: eos 20 20 20 eos 21 21 21 eos 22 ...
    corpus = PackedCorpus([part(toy, texts, rows=[0, 1, 3])], toy.EOS, 4)
    assert corpus.origins(np.array([0, 1, 2])) == ("1:1", "1:2", "1:4")
    assert corpus.rows(np.array([2]), toy.PAD)[0].tolist() == [[toy.EOS, 23, 23, 23, toy.EOS]]


@pytest.fixture
def labelled(tmp_path):
    (tmp_path / "train.tsv").write_text("id\ttext\tlabel\n" + "".join(f"{n}\t{'ab' * n}\t{n % 2}\n" for n in range(50)))
    names = {"0": "NEGATIVE", "1": "POSITIVE"}
    source = TsvTexts(tsv="train.tsv", text_column=1, label_column=2, header=True, labels=names)
    return DataConfig(root=str(tmp_path), sources=(source,), holdout=2, max_tokens=60)


def open_labelled(config, toy, **change):
    config = config.model_copy(update=change)
    return open_texts(config, toy.ToyPair(), toy.Path(config.root) / "cache", 1, labels=("NEGATIVE", "POSITIVE"))


def test_texts_of_a_tsv_with_their_labels_cut_or_dropped(labelled, toy):
    corpora = open_labelled(labelled, toy)
    assert corpora.lost.line() == "50 lines = 49 kept + 1 dropped (empty 1)"
    assert len(corpora.train) == 47 and corpora.held_out == 2
    assert corpora.train.cut + corpora.valid.cut == 20  # 2 n + 2 > 60 for n from 30 to 49
    batch = corpora.train.batch(np.arange(47), toy.PAD)
    assert batch.ids.shape == (47, 60) and torch.equal(batch.labels, torch.from_numpy(corpora.train.labels()).long())
    assert ((batch.mask.sum(1)[batch.mask.sum(1) < 60] - 2) // 2 % 2).tolist() == batch.labels[
        batch.mask.sum(1) < 60
    ].tolist()

    dropped = open_labelled(labelled, toy, long_texts="drop")
    assert dropped.lost.line() == "50 lines = 29 kept + 21 dropped (too-long 20, empty 1)" and not dropped.train.cut
    again = open_labelled(labelled, toy)
    assert [part.store.made_because for part in again.train.parts] == [""]


def test_a_label_that_is_none_of_the_runs(labelled, toy, tmp_path):
    with (tmp_path / "train.tsv").open("a") as file:
        file.write("50\tab\t2\n")
    with pytest.raises(CorpusError) as caught:
        open_labelled(labelled, toy)
    assert caught.value.code == "unknown-label"
    assert caught.value.fields["line"] == 52 and "NEGATIVE, POSITIVE" in caught.value.message("en")
    assert open_labelled(labelled, toy, skip_bad_lines=True).lost.dropped["unknown-label"] == 1
    unlabelled = labelled.model_copy(update={"sources": (TsvTexts(tsv="train.tsv", text_column=1, header=True),)})
    with pytest.raises(CorpusError) as caught:
        open_labelled(unlabelled, toy)
    assert caught.value.code == "no-label-column"


def test_plain_texts_in_blocks(tmp_path, toy):
    (tmp_path / "a.txt").write_text("".join(f"{'xyz' * n}\n" for n in range(30)))
    config = DataConfig(root=str(tmp_path), sources=(TextFile(text="a.txt"),), holdout=1, max_tokens=16)
    corpora = open_packed(config, toy.ToyPair(), tmp_path / "cache", 1)
    assert corpora.lost.kept == 29 and corpora.held_out == 1
    tokens = sum(int(part.store.src.lengths()[part.rows].sum() + len(part.rows)) for part in corpora.train.parts)
    assert corpora.train.src_lengths.sum() == tokens
    batches = BatchOrder(corpora.train, 64, 1).epoch(0)
    assert sorted(np.concatenate(batches)) == list(range(len(corpora.train))) and len(batches[0]) <= 4
