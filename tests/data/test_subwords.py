"""Subword dropout: the same text in other pieces, a function of (seed, epoch, row, place) alone."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearhead.config import TokenizerConfig
from clearhead.data.subwords import SubwordDropout
from clearhead.data.texts import TextBatch
from clearhead.errors import ConfigError
from clearhead.text.foreign import ForeignTokenizer
from clearhead.text.subwords import parts_of_tokens
from clearhead.text.tokenizer import Tokenizer

LINES = ["나는 학생입니다 그는 선생님입니다", "translators translate translations", "the street was too wide"] * 30
TEXTS = ["나는 선생님입니다", "translate the translations", "", "a <s> 뷁 👩‍👩‍👧", "wide streets"]


def learnt(kind, size):
    return Tokenizer.train(LINES, TokenizerConfig(kind=kind, vocabulary_size=size))


BPE, UNIGRAM = learnt("bpe", 385), learnt("unigram", 385)


def rows_of(tokenizer, texts=TEXTS):
    """The texts with their ends, padded; their lengths."""
    rows = [[*tokenizer.encode(text), tokenizer.eos_id] for text in texts]
    lengths = np.array([len(row) for row in rows], np.int32)
    ids = np.full((len(rows), lengths.max()), tokenizer.pad_id, np.int64)
    for out, row in zip(ids, rows):
        out[: len(row)] = row
    return ids, lengths


def cut(tokenizer, probability, *, seed=1, longest=999, numbers=None, epoch=0, side="src", texts=TEXTS):
    ids, lengths = rows_of(tokenizer, texts)
    dropout = SubwordDropout(parts_of_tokens(tokenizer), probability, seed, longest)
    numbers = np.arange(len(ids)) if numbers is None else np.array(numbers)
    return dropout(ids, lengths, numbers, epoch, side, tokenizer.pad_id)


@pytest.mark.parametrize("tokenizer", [BPE, UNIGRAM], ids=["bpe", "unigram"])
def test_each_token_is_the_two_that_it_consists_of(tokenizer):
    parts = parts_of_tokens(tokenizer)
    made = np.flatnonzero(parts[:, 0] >= 0)
    assert len(made) > 20 and (parts[tokenizer.special_ids] == -1).all()
    for whole in made:
        left, right = parts[whole]
        assert tokenizer.token_text(left) + tokenizer.token_text(right) == tokenizer.token_text(whole)


@pytest.mark.parametrize("tokenizer", [BPE, UNIGRAM], ids=["bpe", "unigram"])
def test_tokens_of_a_tokenizer_from_elsewhere_consist_of_the_same(tokenizer):
    library = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    foreign = ForeignTokenizer.make(library, tokenizer.roles(), tokenizer.vocabulary_size, {})
    assert np.array_equal(parts_of_tokens(foreign), parts_of_tokens(tokenizer))


def test_a_unigram_token_consists_of_the_likeliest_two():
    scores = {"a": -3, "b": -3, "c": -3, "ab": -4, "bc": -4.5, "abc": -1, "bca": -1.5, "abca": -2, "<x>": 0}
    model = {"type": "Unigram", "vocab": list(scores.items())}
    tokenizer = SimpleNamespace(to_json=lambda: json.dumps({"model": model}), vocabulary_size=len(scores))
    names = [*scores]
    parts = {names[i]: [names[part] for part in two] for i, two in enumerate(parts_of_tokens(tokenizer)) if two[0] >= 0}
    assert parts == {"ab": ["a", "b"], "bc": ["b", "c"], "abc": ["ab", "c"], "bca": ["bc", "a"], "abca": ["abc", "a"]}


@pytest.mark.parametrize("tokenizer", [BPE, UNIGRAM], ids=["bpe", "unigram"])
@given(st.floats(0.0, 0.99), st.integers(0, 9))
def test_the_text_stays(tokenizer, probability, epoch):
    ids, lengths, columns = cut(tokenizer, probability, epoch=epoch)
    whole, _ = rows_of(tokenizer)
    assert (lengths >= rows_of(tokenizer)[1]).all()
    for row, (text, length) in enumerate(zip(TEXTS, lengths)):
        assert tokenizer.decode(ids[row, :length]) == text
        assert ids[row, length - 1] == tokenizer.eos_id and (ids[row, length:] == tokenizer.pad_id).all()
        for column in range(length):  # each piece is found in the token that it comes from
            came_from = tokenizer.token_text(whole[row, columns[row, column]])
            assert tokenizer.token_text(ids[row, column]) in came_from
        assert (np.diff(columns[row, :length]) >= 0).all()


def test_with_probability_next_to_one_nothing_is_left_that_could_be_split():
    ids, lengths, _ = cut(BPE, 1.0 - 1e-12)
    assert (parts_of_tokens(BPE)[ids[np.arange(ids.shape[1]) < lengths[:, None]], 0] == -1).all()


def test_nothing_is_split_without_it():
    ids, lengths = rows_of(BPE)
    cut_ids, cut_lengths, _ = cut(BPE, 0.0)
    assert (cut_ids == ids).all() and (cut_lengths == lengths).all()


def test_tokens_are_split_as_often_as_is_asked():
    """Of tokens of which every one consists of two that consist of nothing."""
    parts = np.full((9, 2), -1, np.int32)
    parts[8] = 6, 7
    ids = np.full((50, 400), 8, np.int64)
    out, lengths, _ = SubwordDropout(parts, 0.1, 1, 999)(ids, np.full(50, 400), np.arange(50), 0, "src", 0)
    share = (lengths - 400) / 400
    assert abs(share.mean() - 0.1) < 0.008  # four deviations: sqrt(0.09 / 20,000) = 0.002
    assert 0.008 < share.std() < 0.025  # rows are unlike, as chance has it: 0.015
    assert ((out == 8).sum(axis=0) < 50).sum() > 350  # and so are places


def test_parts_are_split_as_often_too():
    parts = np.full((9, 2), -1, np.int32)
    parts[8], parts[7] = (6, 7), (4, 5)
    ids = np.full((50, 400), 8, np.int64)
    out, _, _ = SubwordDropout(parts, 0.5, 1, 9999)(ids, np.full(50, 400), np.arange(50), 0, "src", 0)
    assert abs((out == 5).sum() / 20_000 - 0.25) < 0.015 and (out == 4).sum() == (out == 5).sum()


def test_it_is_a_function_of_seed_epoch_row_and_side_alone():
    texts = TEXTS[:2] * 20

    def cut_as(**change):
        ids, lengths, _ = cut(BPE, 0.3, texts=texts, **change)
        return [row[:length].tolist() for row, length in zip(ids, lengths)]

    same = cut_as()
    assert same == cut_as()
    assert len({str(x) for x in (same, cut_as(seed=2), cut_as(epoch=1), cut_as(side="tgt"))}) == 4
    # whatever else is in the batch, and wherever the row stands in it
    for numbers, rows in (([4, 2], [4, 2]), ([17], [17])):
        ids, lengths, _ = cut(BPE, 0.3, texts=[texts[row] for row in rows], numbers=numbers)
        assert [row[:length].tolist() for row, length in zip(ids, lengths)] == [same[row] for row in rows]


def test_a_row_that_would_be_too_long_stays_as_it_is():
    texts = ["translate the translations", "나는 선생님입니다"]
    whole, whole_lengths = rows_of(BPE, texts)
    free, free_lengths, _ = cut(BPE, 0.5, texts=texts)
    limit = int(free_lengths.min())
    assert (free_lengths > whole_lengths).all() and (free_lengths > limit).sum() == 1
    ids, lengths, columns = cut(BPE, 0.5, longest=limit, texts=texts)
    for row in range(len(ids)):
        too_long = free_lengths[row] > limit
        expected = whole[row, : whole_lengths[row]] if too_long else free[row, : free_lengths[row]]
        assert ids[row, : lengths[row]].tolist() == expected.tolist()
        assert not too_long or columns[row, : lengths[row]].tolist() == list(range(lengths[row]))


def test_segments_and_labels_go_along():
    ids, lengths = rows_of(BPE, ["translate the", "wide streets"])
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    segments = mask & (np.arange(ids.shape[1]) >= 2)
    batch = TextBatch(*map(torch.from_numpy, (ids, mask, segments.astype(np.int64), np.array([1, 0]))))
    cut_batch = batch.with_subwords(SubwordDropout(parts_of_tokens(BPE), 0.999, 1, 99), np.array([3, 4]), 0, BPE.pad_id)
    assert cut_batch.labels.tolist() == [1, 0] and cut_batch.ids.shape[1] > ids.shape[1]
    for row in range(2):
        for segment in (0, 1):
            before = BPE.decode(batch.ids[row][(batch.segments[row] == segment) & batch.mask[row]].tolist())
            now = cut_batch.ids[row][(cut_batch.segments[row] == segment) & cut_batch.mask[row]].tolist()
            assert BPE.decode(now) == before


def test_characters_consist_of_nothing():
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(kind="characters", vocabulary_size=400))
    with pytest.raises(ConfigError, match="subword_dropout"):
        parts_of_tokens(tokenizer)
