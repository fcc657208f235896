"""A store tokenises once, gives back what it took, notices every change and damage, and survives a kill anywhere."""

import errno
import os
import sys
import threading
import warnings
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import BuiltIn, DataConfig, ParallelFiles, TsvColumns
from clearhead.data import store as store_module
from clearhead.data.store import open_store
from clearhead.errors import CorpusError, MachineError
from clearhead.text.corpus import Pair

SRC, TGT = ["ab", "c", "", "defg", "a b"], ["A", "BC", "D", "EFGH", "I"]
KEPT = [("ab", "A"), ("c", "BC"), ("defg", "EFGH"), ("a b", "I")]  # the empty side drops the third


def open_it(config: DataConfig, toys, cache, **change):
    source = config.sources[0].model_copy(update=change)
    return open_store(source, config.root, config.skip_bad_lines, toys, cache)


def texts(store, toys):
    src = toys.src.decode_batch([store.src[i].tolist() for i in range(len(store))])
    return list(zip(src, toys.tgt.decode_batch([store.tgt[i].tolist() for i in range(len(store))])))


@pytest.fixture
def config(tmp_path, toy):
    return toy.write_corpus(tmp_path, SRC, TGT)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1)] * 2), min_size=1
    ),
    chunk=st.integers(1, 4),
)
def test_every_sentence_comes_back_and_is_tokenised_once(rows, chunk, toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    config = toy.write_corpus(folder, [src for src, _ in rows], [tgt for _, tgt in rows])
    toys = toy.ToyPair(toy.ToyTokenizer(vocabulary_size=0x110000 + 10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "CHUNK_PAIRS", chunk)
        first = open_it(config, toys, folder / "cache")
    calls = toys.src.calls
    again = open_it(config, toys, folder / "cache")
    assert (first.made_because, again.made_because) == ("not there", "")
    assert toys.src.calls == calls
    expected = [tuple(normalize("NFC", side) for side in row) for row in rows]
    assert texts(first, toys) == texts(again, toys) == expected


@pytest.mark.parametrize("vocabulary_size, dtype", [(65_536, "<u2"), (65_537, "<u4")])
def test_tokens_take_two_bytes_where_the_vocabulary_allows(vocabulary_size, dtype, config, cache, toy):
    toys = toy.ToyPair(toy.ToyTokenizer(vocabulary_size=vocabulary_size))
    assert open_it(config, toys, cache).src.tokens.dtype == dtype


def test_arrays_are_mapped_and_read_only(config, cache, toy):
    tokens = open_it(config, toy.ToyPair(), cache).src.tokens
    assert isinstance(tokens.base, np.memmap) and not tokens.flags.writeable


def test_lost_pairs_are_remembered(config, cache, toy):
    first, again = (open_it(config, toy.ToyPair(), cache) for _ in range(2))
    assert first.lost == again.lost
    assert (again.lost.lines, again.lost.kept, dict(again.lost.dropped)) == (5, 4, {"empty": 1})


def test_progress_counts_the_pairs(config, cache, toy, monkeypatch):
    monkeypatch.setattr(store_module, "CHUNK_PAIRS", 3)
    told = []
    open_store(config.sources[0], config.root, False, toy.ToyPair(), cache, told.append)
    assert told == [3, 4]


# --- what is noticed, and what is none of its business ------------------------------------------------------------


def test_changed_text_of_the_same_size_is_noticed(config, cache, toy, tmp_path):
    toys = toy.ToyPair()
    open_it(config, toys, cache)
    (tmp_path / "train.src").write_text("ab\nc\n\ndefg\na z\n")
    os.utime(tmp_path / "train.src", ns=(1, 1))
    changed = open_it(config, toys, cache)
    assert changed.made_because == "text changed"
    assert texts(changed, toys)[-1] == ("a z", "I")


def test_a_new_date_alone_is_looked_into_once(config, cache, toy, tmp_path, monkeypatch):
    open_it(config, toy.ToyPair(), cache)
    os.utime(tmp_path / "train.src", ns=(1, 1))
    assert open_it(config, toy.ToyPair(), cache).made_because == ""
    monkeypatch.setattr(store_module, "_sha256", lambda path: pytest.fail("the text was read again"))
    assert open_it(config, toy.ToyPair(), cache).made_because == ""


def test_another_tokenizer_option_or_column_makes_another_store(cache, toy, tmp_path):
    (tmp_path / "t.tsv").write_text("ab\tcd\tef\n")
    config = DataConfig(root=str(tmp_path), sources=(TsvColumns(tsv="t.tsv"),))
    plain = open_it(config, toy.ToyPair(), cache)
    others = [
        open_it(config, toy.ToyPair(toy.ToyTokenizer("other")), cache),
        open_it(config, toy.ToyPair(toy.ToyTokenizer(), toy.ToyTokenizer("other")), cache),
        open_it(config.model_copy(update={"skip_bad_lines": True}), toy.ToyPair(), cache),
        open_it(config, toy.ToyPair(), cache, tgt_column=2),
    ]
    assert len({store.path for store in [plain, *others]}) == 5
    assert texts(others[-1], toy.ToyPair()) == [("ab", "ef")]


def test_weight_and_tag_do_not_touch_the_store(config, cache, toy):
    open_it(config, toy.ToyPair(), cache)
    assert open_it(config, toy.ToyPair(), cache, weight=2.0, tag="2de").made_because == ""


def test_a_built_in_corpus_is_known_by_its_pairs(cache, toy, monkeypatch):
    pairs = [("a", "b"), ("c", "d")]

    def read(source, root, skip_bad_lines, lost, labels):
        for number, (src, tgt) in enumerate(pairs, 1):
            lost.keep()
            yield Pair(number, src, tgt)

    monkeypatch.setattr(store_module, "read_pairs", read)
    config = DataConfig(sources=(BuiltIn(builtin="starter-ko-en"),))
    assert [open_it(config, toy.ToyPair(), cache).made_because for _ in range(2)] == ["not there", ""]
    pairs[1] = ("c", "e")
    assert open_it(config, toy.ToyPair(), cache).made_because == "text changed"


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def _lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0" * 8)


def _flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _replace(path):
    path.write_bytes(b'{"checksum": 0, "key": {}}')


def _half_a_character(path):
    path.write_bytes(b'{"checksum": 0, "key": "\\ud800"}')


@pytest.mark.parametrize("name", ["header.json", "src.tokens", "src.offsets", "tgt.tokens", "tgt.offsets"])
@pytest.mark.parametrize("harm", [_truncate, _lengthen, _flip, _replace, _half_a_character, os.remove])
def test_a_damaged_store_is_made_again(harm, name, config, cache, toy):
    toys = toy.ToyPair()
    path = open_it(config, toys, cache).path
    harm(path / name)
    again = open_it(config, toys, cache)
    assert again.made_because.partition(".")[0].partition(" ")[0] == name.partition(".")[0]
    assert texts(again, toys) == KEPT


# --- kills, full disks, and company -------------------------------------------------------------------------------


def killed_at(moment, act):
    """Run ``act`` in a child that dies on the spot at its n-th step on the disk or in encoding; say whether it died."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
        child = os.fork()
    if not child:
        seen = 0

        def hook(event, _):
            nonlocal seen
            seen += event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "toy.encode")
            if seen == moment:
                os._exit(9)

        try:
            sys.addaudithook(hook)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.parametrize("old", [False, True], ids=["first", "replacing"])
def test_a_kill_at_any_moment_leaves_a_right_store_or_none(old, config, cache, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "CHUNK_PAIRS", 2)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill is not a power cut
    toys, moment = toy.ToyPair(), 0
    while True:
        moment += 1
        if old:
            toy.write_corpus(tmp_path, ["old"], ["OLD"])
            open_it(config, toys, cache)
            toy.write_corpus(tmp_path, SRC, TGT)
        if not killed_at(moment, lambda: open_it(config, toys, cache)):
            break
        after = open_it(config, toys, cache)
        assert texts(after, toys) == KEPT
        left = sorted(path.name for path in cache.iterdir())
        assert left == [after.path.name, f"{after.path.name}.lock"]
        if not old:
            [path.unlink() for path in after.path.iterdir()]
            after.path.rmdir()
    assert moment > 12


def test_a_failure_leaves_nothing_but_the_lock(config, cache, toy, tmp_path):
    (tmp_path / "train.tgt").write_text("one line\n")
    with pytest.raises(CorpusError) as error:
        open_it(config, toy.ToyPair(), cache)
    assert error.value.code == "line-counts-differ"
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_text_that_changes_while_it_is_read_is_refused(config, cache, toy, tmp_path):
    class Meddler(toy.ToyTokenizer):
        def encode_batch(self, lines):
            (tmp_path / "train.tgt").write_text("other\n" * 5)
            return super().encode_batch(lines)

    with pytest.raises(CorpusError) as error:
        open_it(config, toy.ToyPair(Meddler()), cache)
    assert error.value.code == "text-changed"
    assert "train.tgt" in error.value.message("en") and "train.tgt" in error.value.message("ko")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_full_disk_is_one_line(language, config, cache, toy, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MachineError) as error:
        open_it(config, toy.ToyPair(), cache)
    assert os.strerror(errno.ENOSPC) in error.value.message(language)
    assert "\n" not in error.value.message(language)


def test_two_at_once_tokenise_once(config, cache, toy):
    toys, stores = toy.ToyPair(), []
    threads = [threading.Thread(target=lambda: stores.append(open_it(config, toys, cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.made_because for store in stores) == ["", "", "", "not there"]


def test_a_missing_file_is_the_readers_error(cache, toy, tmp_path):
    config = DataConfig(root=str(tmp_path), sources=(ParallelFiles(src="no.src", tgt="no.tgt"),))
    with pytest.raises(CorpusError) as error:
        open_it(config, toy.ToyPair(), cache)
    assert error.value.code == "cannot-read-text"
