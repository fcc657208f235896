"""Reading corpora: lines end at \\n only, every fault is one line with its place, every lost pair is counted."""

from __future__ import annotations

import gzip
import tracemalloc
from collections import Counter
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearhead.config import BuiltIn, ParallelFiles, TsvColumns, TsvTexts
from clearhead.errors import LANGUAGES, CorpusError
from clearhead.text.corpus import MAX_LINE_BYTES, LostPairs, Pair, read_lines, read_pairs

FILES = ParallelFiles(src="a", tgt="b")


def pairs_of(root, source=FILES, skip=False):
    lost = LostPairs()
    pairs = list(read_pairs(source, str(root), skip, lost))
    assert lost.lines == lost.kept + lost.dropped.total()
    assert lost.kept == len(pairs)
    return pairs, lost


def write(root, src: bytes, tgt: bytes):
    (root / "a").write_bytes(src)
    (root / "b").write_bytes(tgt)


def check_error(error: CorpusError, code: str, *parts: str):
    assert error.code == code
    for language in LANGUAGES:
        message = error.message(language)
        assert "\n" not in message
        for part in parts:
            assert part in message


def test_only_a_newline_ends_a_line(tmp_path):
    lines = ["a\u2028b", "c\u0085d\x0be", "f\x0cg\x1ch\x1d\x1e", "", "\u2029", "i\rj", "last"]
    (tmp_path / "a").write_text("\n".join(lines), encoding="utf-8", newline="\n")
    assert list(read_lines(tmp_path / "a")) == list(enumerate(lines, 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(lines=st.lists(st.text().map(lambda s: s.replace("\n", "")), min_size=1), zipped=st.booleans())
def test_what_was_written_is_read(tmp_path, lines, zipped):
    lines[0] = lines[0].lstrip("\ufeff")
    data = "".join(line + "\n" for line in lines).encode()
    (tmp_path / "a").write_bytes(gzip.compress(data) if zipped else data)
    assert [line for _, line in read_lines(tmp_path / "a")] == lines


def test_gzip_is_known_by_its_first_bytes_and_a_mark_is_left_out(tmp_path):
    (tmp_path / "plain.gz").write_bytes(b"\xef\xbb\xbfone\ntwo \xef\xbb\xbf\n")
    (tmp_path / "zipped.txt").write_bytes(gzip.compress(b"\xef\xbb\xbfone\ntwo \xef\xbb\xbf\n"))
    expected = [(1, "one"), (2, "two \ufeff")]
    assert list(read_lines(tmp_path / "plain.gz")) == list(read_lines(tmp_path / "zipped.txt")) == expected


def test_pairs_are_nfc_and_empty_sides_are_counted(tmp_path):
    decomposed = normalize("NFD", "각 é")
    write(tmp_path, f"{decomposed}\r\n \t\nc\n\u3000\n".encode(), b"x\r\ny\n\r\nz\n")
    pairs, lost = pairs_of(tmp_path)
    assert pairs == [Pair(1, "각 é", "x")]
    assert lost.dropped == Counter(empty=3)
    assert lost.line() == "4 lines = 1 kept + 3 dropped (empty 3)"


def test_a_line_that_is_not_utf8_is_an_error_with_its_place_or_dropped(tmp_path):
    write(tmp_path, b"ok\n" + "한국".encode() + b" caf\xe9 x\nok\n", b"1\n2\n3\n")
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path)
    check_error(caught.value, "not-utf8", f"{tmp_path / 'a'}:2", "0xe9", "7", "--skip-bad-lines")
    pairs, lost = pairs_of(tmp_path, skip=True)
    assert [pair.number for pair in pairs] == [1, 3]
    assert lost.dropped == {"not-utf8": 1}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_line_of_ten_megabytes_is_refused_without_being_held(tmp_path, zipped):
    data = b"ok\n" + b"x" * 10_000_000 + b"\nok\n"
    write(tmp_path, gzip.compress(data) if zipped else data, b"1\n2\n3\n")
    del data
    tracemalloc.start()
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path)
    check_error(caught.value, "line-too-long", f"{tmp_path / 'a'}:2", "1,000,000", "--skip-bad-lines")
    pairs, lost = pairs_of(tmp_path, skip=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pairs == [Pair(1, "ok", "1"), Pair(3, "ok", "3")]
    assert lost.dropped == {"line-too-long": 1}
    assert peak < 5 * MAX_LINE_BYTES


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_longest_line_allowed(tmp_path, end):
    (tmp_path / "a").write_bytes(b"x" * MAX_LINE_BYTES + end)
    assert list(read_lines(tmp_path / "a")) == [(1, "x" * MAX_LINE_BYTES)]
    (tmp_path / "a").write_bytes(b"x" * (MAX_LINE_BYTES + 1) + end)
    with pytest.raises(CorpusError) as caught:
        list(read_lines(tmp_path / "a"))
    assert caught.value.code == "line-too-long"


@pytest.mark.parametrize("n_src, n_tgt", [(1, 1201), (1201, 1200), (3, 4)])
def test_different_line_counts_name_both(tmp_path, n_src, n_tgt):
    write(tmp_path, b"x\n" * n_src, b"y\n" * n_tgt)
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path, skip=True)
    check_error(
        caught.value, "line-counts-differ", str(tmp_path / "a"), str(tmp_path / "b"), f"{n_src:,}", f"{n_tgt:,}"
    )
    assert (caught.value.fields["src_lines"], caught.value.fields["tgt_lines"]) == (n_src, n_tgt)


def test_files_that_cannot_be_read_are_one_line_each(tmp_path):
    def code_of(path):
        with pytest.raises(CorpusError) as caught:
            list(read_lines(path))
        check_error(caught.value, caught.value.code, str(path))
        return caught.value.code

    (tmp_path / "empty").touch()
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    whole = gzip.compress(bytes(range(256)).replace(b"\n", b"") * 50)
    (tmp_path / "cut.gz").write_bytes(whole[:-20])
    (tmp_path / "wrong.gz").write_bytes(whole[:15] + b"\xff\xff\xff" + whole[18:])
    (tmp_path / "sum.gz").write_bytes(gzip.compress(b"abc\n")[:-8] + bytes(8))
    assert code_of(tmp_path / "missing") == "cannot-read-text"
    assert code_of(tmp_path) == "cannot-read-text"
    assert code_of(tmp_path / "empty") == code_of(tmp_path / "empty.gz") == "empty-file"
    assert {code_of(tmp_path / name) for name in ("cut.gz", "wrong.gz", "sum.gz")} == {"broken-gzip"}


def test_no_permission_is_one_line(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)  # root may read everything, so the file's mode would not do
    with pytest.raises(CorpusError) as caught:
        list(read_lines(tmp_path / "a"))
    monkeypatch.undo()
    check_error(caught.value, "cannot-read-text", "Permission denied")


def test_columns_of_a_table(tmp_path):
    table = "id\tko\ten\r\n1\t안녕\thello\r\n2\tno\r\n3\t네\tyes\tmore\r\n4\t\tempty\r\n"
    (tmp_path / "t").write_text(table, encoding="utf-8", newline="")
    source = TsvColumns(tsv="t", src_column=2, tgt_column=1, header=True)
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path, source)
    check_error(caught.value, "columns", f"{tmp_path / 't'}:3", "2", "3")
    pairs, lost = pairs_of(tmp_path, source, skip=True)
    assert pairs == [Pair(2, "hello", "안녕"), Pair(4, "yes", "네")]
    assert lost.dropped == {"columns": 1, "empty": 1}
    assert lost.lines == 4


def test_columns_may_be_named(tmp_path):
    """A name makes the first line a header; names and numbers stand side by side."""
    (tmp_path / "t").write_bytes("\ufeffid\tko\ten\r\n1\t안녕\thello\r\n2\tno\r\n".encode())
    named = TsvColumns(tsv="t", src_column="en", tgt_column=1)
    assert pairs_of(tmp_path, named, skip=True)[0] == [Pair(2, "hello", "안녕")]
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path, named)
    check_error(caught.value, "columns", f"{tmp_path / 't'}:3", "2", "3")
    texts = TsvTexts(tsv="t", text_column=2, label_column="id")
    assert pairs_of(tmp_path, texts, skip=True)[0] == [Pair(2, "hello", "", "1")]
    assert pairs_of(tmp_path, TsvTexts(tsv="t", text_column="id"))[0][0] == Pair(2, "1", "")
    for wrong in (TsvColumns(tsv="t", src_column="En", tgt_column="ko"), TsvTexts(tsv="t", text_column="En")):
        with pytest.raises(CorpusError) as caught:
            pairs_of(tmp_path, wrong, skip=True)
        check_error(caught.value, "no-column-named", f"{tmp_path / 't'}:1", "'En'", "id, ko, en")
    (tmp_path / "t").write_bytes(b"\xff\tko\na\tb\n")
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path, TsvColumns(tsv="t", tgt_column="ko"), skip=True)
    assert caught.value.code == "not-utf8"


def test_a_bad_header_matters_not_and_a_header_alone_is_empty(tmp_path):
    source = TsvColumns(tsv="t", header=True)
    (tmp_path / "t").write_bytes(b"\xff\na\tb\n")
    assert pairs_of(tmp_path, source)[0] == [Pair(2, "a", "b")]
    (tmp_path / "t").write_bytes(b"a\tb\n")
    with pytest.raises(CorpusError) as caught:
        pairs_of(tmp_path, source)
    assert caught.value.code == "empty-file"


def test_the_root_may_name_a_variable(tmp_path, monkeypatch):
    write(tmp_path, b"x\n", b"y\n")
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    assert pairs_of("$SOMEWHERE")[0] == [Pair(1, "x", "y")]


def test_the_built_in_corpus_in_both_directions():
    pytest.importorskip("clearhead.text.starter")
    forward, lost = pairs_of(".", BuiltIn(builtin="starter-ko-en", split="test"))
    back, _ = pairs_of(".", BuiltIn(builtin="starter-en-ko", split="test"))
    assert lost.dropped == {}
    assert [(pair.number, pair.tgt, pair.src) for pair in forward] == [(p.number, p.src, p.tgt) for p in back]
    assert any("가" <= c <= "힣" for c in forward[0].src)


def test_counts_add_up_and_become_plain_data():
    one, two = LostPairs(3, 2, Counter(empty=1)), LostPairs(4, 1, Counter(empty=1, columns=2))
    both = one + two
    assert both.to_dict() == {"lines": 7, "kept": 3, "dropped": {"empty": 2, "columns": 2}}
    both.drop("ratio")
    both.keep()
    assert both.line().startswith("9 lines = 4 kept + 5 dropped (")
    assert one == LostPairs(3, 2, Counter(empty=1))


# --- whatever the bytes are

PIECES = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    "\u2028가e\u0301 ".encode(),
    b"one",
]
texts = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=25).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(src=texts, tgt=texts, tabbed=st.booleans(), skip=st.booleans(), data=st.data())
def test_every_line_is_kept_or_dropped_or_named(tmp_path, src, tgt, tabbed, skip, data):
    zipped = data.draw(st.booleans())
    written = [gzip.compress(side, mtime=0) if zipped else side for side in (src, tgt)]
    harmed = zipped and data.draw(st.booleans())
    if harmed:
        at = data.draw(st.integers(0, len(written[0]) - 1))
        written[0] = data.draw(st.sampled_from([written[0][:at], written[0][:at] + b"\xff" + written[0][at + 1 :]]))
    write(tmp_path, *written)
    source = TsvColumns(tsv="a") if tabbed else FILES
    lost = LostPairs()
    try:
        kept = list(read_pairs(source, str(tmp_path), skip, lost))
    except CorpusError as error:
        about_a_line = {"not-utf8", "line-too-long", "columns", "broken-gzip"}
        check_error(
            error, error.code, str(tmp_path), *([str(error.fields["line"])] if error.code in about_a_line else [])
        )
        assert error.code in about_a_line | {"empty-file", "line-counts-differ"}
        assert not skip or error.code in {"broken-gzip", "empty-file", "line-counts-differ"}
    else:
        assert lost.lines == lost.kept + lost.dropped.total() and lost.kept == len(kept)
        assert skip or set(lost.dropped) <= {"empty"}
        if not harmed:
            assert lost.lines == src.count(b"\n") + (not src.endswith(b"\n"))
