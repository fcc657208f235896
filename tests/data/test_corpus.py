"""What a corpus is made of: filters that add up, weights, tags, and validation pairs that training never sees."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import DataConfig, ParallelFiles
from clearhead.data.corpus import open_corpora
from clearhead.errors import CorpusError

ROW = st.lists(st.integers(10, 60_000), max_size=4)
PAIRS = st.lists(st.tuples(ROW, ROW), max_size=6)
PARTS = st.lists(st.tuples(PAIRS, st.sampled_from([None, 5, 6])), min_size=1, max_size=3)


def opened(config: DataConfig, toy, seed=1, **change):
    return open_corpora(config.model_copy(update=change), toy.ToyPair(), toy.Path(config.root) / "cache", seed)


def lines(folder, name, lengths, letter):
    """A source whose pair i has lengths[i] letters on each side."""
    for side in (0, 1):
        text = "".join(letter * pair[side] + "\n" for pair in lengths)
        (folder / f"{name}.{side}").write_text(text)
    return ParallelFiles(src=f"{name}.0", tgt=f"{name}.1")


@given(PARTS)
def test_pairs_are_numbered_part_after_part_with_tag_and_eos(toy, parts):
    corpus = toy.corpus(*[toy.part(pairs, tag_id=tag) for pairs, tag in parts])
    expected = [
        ([tag] * (tag is not None) + src + [toy.EOS], [*tgt, toy.EOS]) for pairs, tag in parts for src, tgt in pairs
    ]
    assert len(corpus) == len(expected)
    assert [corpus.pair(i) for i in range(len(corpus))] == expected
    assert corpus.src_lengths.tolist() == [len(src) for src, _ in expected]
    assert corpus.tgt_lengths.tolist() == [len(tgt) for _, tgt in expected]


# --- weights ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), min_size=1, max_size=3), st.integers(0, 2**40), st.data()
)
def test_a_weight_is_how_often_each_pair_comes(toy, parts, seed, data):
    """In quarters: after four epochs the account is even; in each, two pairs of a part differ by one draw at most."""
    corpus = toy.corpus(*[toy.part([([], [])] * n, weight=quarters / 4) for n, quarters in parts])
    first = 4 * data.draw(st.integers(0, 3))
    total = Counter()
    for epoch in range(first, first + 4):
        drawn = Counter(corpus.draws(seed, epoch).tolist())
        total += drawn
        for start, (n, quarters) in zip(corpus.starts, parts):
            for pair in range(start, start + n):
                assert quarters // 4 <= drawn[pair] <= -(-quarters // 4)
    assert total == {start + i: quarters for start, (n, quarters) in zip(corpus.starts, parts) for i in range(n)}


def test_half_a_part_is_another_half_in_the_next_epoch(toy):
    corpus = toy.corpus(toy.part([([], [])] * 100, weight=0.5))
    one, two, three = (set(corpus.draws(7, epoch).tolist()) for epoch in range(3))
    assert len(one) == len(two) == 50 and not one & two and one == three
    assert one != set(corpus.draws(8, 0).tolist()) and max(one) > 60  # a shuffled half, by seed


# --- filters ------------------------------------------------------------------------------------------------------

LENGTHS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


@settings(max_examples=40)
@given(LENGTHS, st.integers(2, 9), st.sampled_from([0.0, 1.0, 1.5, 2.0]), st.booleans())
def test_kept_and_dropped_are_all_lines_and_each_rightly_so(
    toy, tmp_path_factory, lengths, max_tokens, max_ratio, tagged
):
    folder = tmp_path_factory.mktemp("filters")
    source = lines(folder, "train", lengths, "x").model_copy(update={"tag": "2de" if tagged else ""})
    valid = lines(folder, "valid", [(1, 1)], "v")
    config = DataConfig(root=str(folder), sources=(source,), valid=(valid,), max_tokens=max_tokens, max_ratio=max_ratio)
    too_long = [max(s + 1 + tagged, t + 1) > max_tokens for s, t in lengths]
    uneven = [max_ratio > 0 and max(s, t) > max_ratio * min(s, t) for s, t in lengths]
    kept = [pair for pair, *bad in zip(lengths, too_long, uneven) if not any(bad)]
    if not kept:
        with pytest.raises(CorpusError, match="no pair is left"):
            opened(config, toy)
        return
    corpora = opened(config, toy)
    train, lost = corpora.train, corpora.lost
    assert list(zip(train.src_lengths - 1 - tagged, train.tgt_lengths - 1)) == kept
    assert (lost.lines, lost.kept) == (len(lengths), len(kept))
    both = Counter({"too-long": sum(too_long), "ratio": sum(u and not t for u, t in zip(uneven, too_long))})
    assert lost.dropped == +both and lost.lines == lost.kept + sum(lost.dropped.values())
    assert max(train.src_lengths.max(), train.tgt_lengths.max()) <= max_tokens


def test_all_sources_are_counted_together(toy, tmp_path):
    one, two = lines(tmp_path, "one", [(1, 1), (0, 3), (9, 9)], "a"), lines(tmp_path, "two", [(2, 2)] * 3, "b")
    valid = lines(tmp_path, "valid", [(1, 1), (9, 1), (3, 30)], "v")
    config = DataConfig(root=str(tmp_path), sources=(one, two), valid=(valid,), max_tokens=10, max_ratio=2.0)
    corpora = opened(config, toy)
    assert corpora.lost.line() == "6 lines = 5 kept + 1 dropped (empty 1)"
    assert corpora.valid_lost.line() == "3 lines = 2 kept + 1 dropped (too-long 1)"  # its ratio is nobody's business
    assert (len(corpora.train), len(corpora.valid), corpora.held_out) == (5, 2, 0)


# --- validation ---------------------------------------------------------------------------------------------------


def texts(corpus, toys):
    pairs = [corpus.pair(i) for i in range(len(corpus))]
    return list(zip(toys.src.decode_batch([src for src, _ in pairs]), toys.tgt.decode_batch([tgt for _, tgt in pairs])))


@pytest.fixture
def hundred(toy, tmp_path):
    return toy.write_corpus(tmp_path, [f"s{i}" for i in range(100)], [f"t{i}" for i in range(100)])


@pytest.mark.parametrize("holdout, count", [(1, 1), (3, 3), (1000, 5)])
def test_held_out_pairs_are_spread_and_never_trained_on(holdout, count, hundred, toy):
    corpora = opened(hundred, toy, holdout=holdout)
    train, valid = texts(corpora.train, toy.ToyPair()), texts(corpora.valid, toy.ToyPair())
    assert len(valid) == corpora.held_out == count
    assert sorted(train + valid) == sorted((f"s{i}", f"t{i}") for i in range(100))
    places = [int(src[1:]) for src, _ in valid]
    assert [place * count // 100 for place in places] == list(range(count))  # one from each stretch
    assert corpora.lost.kept == len(train) + len(valid) and corpora.valid_lost.lines == 0


def test_what_is_held_out_follows_from_the_seed(hundred, toy):
    one, again, other = (opened(hundred, toy, seed=seed).valid.text(toy.ToyPair()) for seed in (1, 1, 2))
    assert one == again != other


def test_too_few_pairs_to_hold_out_are_refused(toy, tmp_path):
    config = toy.write_corpus(tmp_path, ["a"] * 19, ["b"] * 19)
    with pytest.raises(CorpusError) as error:
        opened(config, toy)
    assert "19" in error.value.message("en") and "19" in error.value.message("ko")
    assert opened(config.model_copy(update={"valid": config.sources}), toy).held_out == 0


def test_validation_text_is_the_lines_without_tags(toy, tmp_path):
    tagged = lines(tmp_path, "valid", [(2, 1), (1, 2), (3, 3)], "v").model_copy(update={"tag": "2de", "weight": 0.5})
    config = DataConfig(root=str(tmp_path), sources=(tagged,), valid=(tagged,))
    corpora = opened(config, toy)
    assert corpora.valid.text(corpora.tokenizers) == [("vv", "v"), ("v", "vv"), ("vvv", "vvv")]
    assert corpora.valid.text(corpora.tokenizers, 2) == [("vv", "v"), ("v", "vv")]
    assert (
        corpora.valid.tags(corpora.tokenizers) == ["2de"] * 3
        and corpora.valid.tags(corpora.tokenizers, 2) == ["2de"] * 2
    )
    assert corpora.valid.pair(0)[0][0] == toy.ToyTokenizer().tag_id("2de")
    assert sorted(corpora.valid.draws(1, 0).tolist()) == [0, 1, 2]  # each once, whatever its source's weight
    assert len(corpora.train.draws(1, 0)) == 1


def test_progress_names_the_source(hundred, toy):
    told = []
    open_corpora(
        hundred, toy.ToyPair(), toy.Path(hundred.root) / "c", 1, lambda source, done: told.append((source, done))
    )
    assert told == [(hundred.sources[0], 100)]


def test_lengths_are_small_integers(hundred, toy):
    train = opened(hundred, toy).train
    assert train.src_lengths.dtype == train.tgt_lengths.dtype == np.int32
