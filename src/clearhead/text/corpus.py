"""Reading corpora, parallel or of single texts: line by line, checked, every line that is lost counted by reason."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, cast
from unicodedata import normalize

from clearhead.config import BuiltIn, Column, ParallelFiles, Source, TextFile, TsvColumns, TsvTexts, expand_root
from clearhead.errors import CorpusError

MAX_LINE_BYTES = 1_000_000
"""No sentence is this long (a novel is half of it): a longer line is another kind of file, or has lost its ends."""

Line = str | CorpusError
"""A line's text, or what is wrong with it: the reader raises that or counts it, as the user asked."""
Row = tuple[int, list[Line], Line]
"""A line's number, its texts, and its label ("" where there is none)."""


@dataclass(frozen=True)
class Pair:
    """A sentence and its translation; or a text, a second one where there are two, and their label.

    number: its line in the file, from 1.
    """

    number: int
    src: str
    tgt: str = ""
    label: str = ""


@dataclass
class LostPairs:
    """How many lines were read, and what became of them: ``lines == kept + sum of dropped``, always."""

    lines: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def keep(self) -> None:
        """Count a line that is kept."""
        self.lines += 1
        self.kept += 1

    def drop(self, reason: str) -> None:
        """Count a line that is dropped."""
        self.lines += 1
        self.dropped[reason] += 1

    def line(self) -> str:
        """Return the count in one line: "120 lines = 100 kept + 20 dropped (empty 15, columns 5)"."""
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in self.dropped.most_common())
        total = sum(self.dropped.values())
        return f"{self.lines:,} lines = {self.kept:,} kept + {total:,} dropped" + (f" ({reasons})" if reasons else "")

    def to_dict(self) -> dict[str, object]:
        """Return the count as plain data for JSON."""
        return {"lines": self.lines, "kept": self.kept, "dropped": dict(self.dropped)}

    def __add__(self, other: LostPairs) -> LostPairs:
        return LostPairs(self.lines + other.lines, self.kept + other.kept, self.dropped + other.dropped)


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Yield the number (from 1) and the text of each line of a UTF-8 file, plain or gzip.

    Only ``\n`` ends a line: U+2028, U+0085, \x0b, \x0c and \x1c are text. A byte-order mark at the start is left out.

    Raises:
        CorpusError: the file cannot be read or is empty; a line is not UTF-8 or longer than ``MAX_LINE_BYTES``.
    """
    for number, line in enumerate(_lines(path), 1):
        if isinstance(line, CorpusError):
            raise line
        yield number, line


def read_pairs(
    source: Source, root: str, skip_bad_lines: bool, lost: LostPairs, labels: Sequence[str] = ()
) -> Iterator[Pair]:
    r"""Yield the pairs (or texts) of ``source`` in NFC, and count in ``lost`` what is kept and what is dropped.

    A side that is empty or only white space drops its pair ("empty"). One ``\r`` at a line's end is left out.

    Args:
        source: files, a TSV or a built-in corpus; its paths start from ``root``.
        root: folder; may name environment variables.
        skip_bad_lines: drop and count a line that is not UTF-8, too long or short of columns, instead of raising.
        lost: the count to add to; a pair that is yielded is counted as kept.
        labels: those that a label may be; all where none are given.

    Raises:
        CorpusError: a file cannot be read or is empty, a line is bad, or two files have different line counts.
        ConfigError: ``root`` names an environment variable that is not set.
    """
    for number, texts, label in _rows(source, Path(expand_root(root))):
        bad = next((line for line in (*texts, label) if isinstance(line, CorpusError)), None)
        if bad is None and labels and label not in labels:
            bad = _unknown_label(source, root, number, cast(str, label), labels)
        if bad and not skip_bad_lines:
            raise bad
        if bad:
            lost.drop(bad.code)
            continue
        clean = [_clean(cast(str, text)) for text in texts]
        if all(text.strip() for text in clean):
            lost.keep()
            yield Pair(number, clean[0], clean[1] if len(clean) > 1 else "", cast(str, label))
        else:
            lost.drop("empty")


def _clean(text: str) -> str:
    return normalize("NFC", text.removesuffix("\r"))


def _unknown_label(source: Source, root: str, number: int, label: str, labels: Sequence[str]) -> CorpusError:
    path = Path(expand_root(root)) / getattr(source, "tsv", "")
    if not label and getattr(source, "label_column", None) is None:
        return CorpusError("no-label-column", path=path)
    return CorpusError("unknown-label", path=path, line=number, label=label, labels=", ".join(labels))


def _rows(source: Source, root: Path) -> Iterator[Row]:
    match source:
        case ParallelFiles():
            return _two_files(root / source.src, root / source.tgt)
        case TsvColumns():
            return _columns(root / source.tsv, source.header, [source.src_column, source.tgt_column], None)
        case TextFile():
            return ((number, [line], "") for number, line in enumerate(_lines(root / source.text), 1))
        case TsvTexts():
            return _labelled(root / source.tsv, source)
        case BuiltIn():
            return _builtin(source)


def _two_files(src_path: Path, tgt_path: Path) -> Iterator[Row]:
    both = zip_longest(_lines(src_path), _lines(tgt_path))
    for number, (src, tgt) in enumerate(both, 1):
        if src is None or tgt is None:
            more = number + sum(1 for _ in both)
            counts = (number - 1, more) if src is None else (more, number - 1)
            raise CorpusError(
                "line-counts-differ", src=src_path, src_lines=counts[0], tgt=tgt_path, tgt_lines=counts[1]
            )
        yield number, [src, tgt], ""


def _labelled(path: Path, source: TsvTexts) -> Iterator[Row]:
    texts: list[Column] = [source.text_column, *([] if source.second_column is None else [source.second_column])]
    for number, lines, label in _columns(path, source.header, texts, source.label_column):
        yield number, lines, source.labels.get(label, label) if isinstance(label, str) else label


def _columns(path: Path, header: bool, texts: list[Column], label: Column | None) -> Iterator[Row]:
    """Read the columns ``texts`` and ``label`` of a TSV."""
    wanted: Sequence[Column] = texts if label is None else [*texts, label]
    named = any(isinstance(column, str) for column in wanted)
    first = 2 if header or named else 1
    numbers = [column for column in wanted if isinstance(column, int)]  # all of them, where none is named
    number = 0
    for number, line in enumerate(_lines(path), 1):
        if number == 1 and named:
            numbers = _numbers_of(wanted, path, line)
        if number < first:
            continue
        if isinstance(line, CorpusError):
            yield number, [line], ""
            continue
        cells, needed = _cells(line), 1 + max(numbers)
        if len(cells) < needed:
            yield number, [CorpusError("columns", path=path, line=number, columns=len(cells), needed=needed)], ""
        else:
            found: list[Line] = [cells[column] for column in numbers]
            yield number, found[: len(texts)], "" if label is None else found[-1]
    if number < first:
        raise CorpusError("empty-file", path=path)


def _numbers_of(columns: Sequence[Column], path: Path, first_line: Line) -> list[int]:
    """Return the columns' numbers, of those that are named by what the first line says."""
    if isinstance(first_line, CorpusError):
        raise first_line
    names = _cells(first_line)
    missing = [column for column in columns if isinstance(column, str) and column not in names]
    if missing:
        raise CorpusError("no-column-named", path=path, name=missing[0], names=", ".join(names))
    return [names.index(column) if isinstance(column, str) else column for column in columns]


def _cells(line: str) -> list[str]:
    return line.removesuffix("\r").split("\t")


def _builtin(source: BuiltIn) -> Iterator[Row]:
    from clearhead.text.starter import starter_pairs  # only here: a grammar is not needed to read files

    for number, (korean, english) in enumerate(starter_pairs(source.split), 1):
        yield number, [korean, english] if source.builtin == "starter-ko-en" else [english, korean], ""


def _lines(path: str | Path) -> Iterator[Line]:
    number = 0
    for number, raw in enumerate(_raw_lines(path), 1):
        if number == 1:
            raw = raw.removeprefix(BOM_UTF8)
        if len(raw) > MAX_LINE_BYTES:
            yield CorpusError("line-too-long", path=path, line=number, limit=MAX_LINE_BYTES)
            continue
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            column = 1 + len(raw[: error.start].decode("utf-8"))
            byte = f"0x{raw[error.start]:02x}"
            yield CorpusError("not-utf8", path=path, line=number, byte=byte, column=column)
    if number == 0:
        raise CorpusError("empty-file", path=path)


def _raw_lines(path: str | Path) -> Iterator[bytes]:
    r"""Yield each line without its ``\n``, of a longer one than allowed only the first ``MAX_LINE_BYTES + 1`` bytes."""
    number = 0
    try:
        with open(path, "rb") as file:
            zipped = file.peek(2)[:2] == b"\x1f\x8b"
            lines = _bounded_lines(cast(BinaryIO, gzip.GzipFile(fileobj=file)) if zipped else file)
            for number, line in enumerate(lines, 1):  # noqa: B007 - the error below names it
                yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError("broken-gzip", path=path, line=number + 1) from error
    except OSError as error:
        raise CorpusError("cannot-read-text", path=path, problem=error.strerror or error) from error


def _bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line.removesuffix(b"\n")
