"""A corpus' tokens on disk, made once and memory-mapped ever after.

A store is a folder of files, named by a fingerprint of what it was made from:

    src.tokens, tgt.tokens      every sentence's token ids, one after the other (uint16, or uint32 where V > 65536)
    src.offsets, tgt.offsets    int64: sentence i is tokens[offsets[i]:offsets[i + 1]]; no special tokens
    labels                      int32: each text's label, where texts have labels
    header.json                 what it was made from, how long each file is, its CRC-32, and the lost pairs

It is written aside, flushed to the disk and renamed whole, so that a kill at any moment leaves either a store that is
right or none. Whatever is not exactly what the header says is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from clearhead.config import BuiltIn, ParallelFiles, Source, TextFile, TsvColumns, TsvTexts, expand_root
from clearhead.errors import CorpusError, MachineError
from clearhead.text.corpus import LostPairs, Pair, read_pairs
from clearhead.text.foreign import AnyTokenizer
from clearhead.text.tokenizer import TokenizerPair

FORMAT = 1
CHUNK_PAIRS = 20_000
"""So many pairs are tokenised at once; memory does not grow with the corpus."""
CHECK_BYTES = 1 << 24

Progress = Callable[[int], None]
"""Told how many pairs are tokenised so far."""


@dataclass(frozen=True)
class Sentences:
    """One side of a store: sentence i is ``tokens[offsets[i]:offsets[i + 1]]``, both arrays mapped from disk."""

    tokens: np.ndarray
    offsets: np.ndarray

    def __getitem__(self, i: int) -> np.ndarray:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def lengths(self) -> np.ndarray:
        """Return (pairs,) int32: each sentence's number of tokens, eos and tag not counted."""
        return np.diff(self.offsets).astype(np.int32)


@dataclass(frozen=True)
class TokenStore:
    """One source's pairs as token ids.

    tgt: of single texts empty sentences, or the second texts.
    lost: what reading the text dropped; its ``kept`` is the number of pairs here.
    made_because: why the text was tokenised on this opening, and "" where the store was found whole.
    labels: (pairs,) int32, each the place of its label among those asked for; None where none were.
    """

    path: Path
    src: Sentences
    tgt: Sentences
    lost: LostPairs
    made_because: str
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.src.offsets) - 1


class _Unfit(Exception):
    """What stands on disk is not the store that is wanted; the text says why."""


def open_store(
    source: Source,
    root: str,
    skip_bad_lines: bool,
    tokenizers: TokenizerPair,
    cache: Path,
    on_progress: Progress | None = None,
    labels: Sequence[str] = (),
) -> TokenStore:
    """Return the source's tokens, tokenising only where ``cache`` does not hold them whole and up to date.

    labels: those that each text must have one of; none where texts need no label.

    The text is taken as unchanged where each file's size and modification time are, or else its SHA-256 is.

    Raises:
        CorpusError: whatever ``read_pairs`` finds wrong, or a file that changed while it was read.
        MachineError: the cache cannot be written.
    """
    key = _key(source, root, skip_bad_lines, tokenizers, labels)
    folder = cache / hashlib.sha256(_json(key)).hexdigest()[:24]

    def pairs(lost: LostPairs) -> Iterator[Pair]:
        return read_pairs(source, root, skip_bad_lines, lost, labels)

    try:
        with _locked(folder):
            try:
                return _open(folder, key, pairs)
            except _Unfit as reason:
                _make(folder, key, pairs, tokenizers, on_progress)
                return _open(folder, key, pairs, made_because=str(reason))
    except OSError as error:
        raise MachineError("tokens-not-written", path=folder, problem=error.strerror) from error


# --- what a store is made from ------------------------------------------------------------------------------------


def _key(
    source: Source, root: str, skip_bad_lines: bool, tokenizers: TokenizerPair, labels: Sequence[str]
) -> dict[str, Any]:
    """Everything but the text itself that the tokens follow from. Weight and tag belong to the mixing."""
    match source:
        case ParallelFiles():
            names = [source.src, source.tgt]
        case TextFile():
            names = [source.text]
        case TsvColumns() | TsvTexts():
            names = [source.tsv]
        case BuiltIn():
            names = []
    return {
        "format": FORMAT,
        **({"labels": list(labels)} if labels else {}),
        "source": source.model_dump(mode="json", exclude={"weight", "tag"}),
        "files": [os.path.abspath(os.path.join(expand_root(root), name)) for name in names],
        "skip_bad_lines": skip_bad_lines,
        "tokenizers": [tokenizers.src.fingerprint, tokenizers.tgt.fingerprint],
    }


def _stamp(path: str) -> dict[str, int] | None:
    """A file's size and modification time, and None where it cannot be asked (reading it then says what is wrong)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns} if stat.S_ISREG(found.st_mode) else None


def _text_of(key: dict[str, Any], pairs: Callable[[LostPairs], Iterator[Pair]]) -> list[dict[str, Any]]:
    """The state of the text: each file's stamp and SHA-256; of a corpus without files, the SHA-256 of its pairs."""
    if key["files"]:
        return [{"stamp": _stamp(path), "sha256": _sha256(path)} for path in key["files"]]
    digest = hashlib.sha256()
    for pair in pairs(LostPairs()):
        digest.update(_json([pair.src, pair.tgt]))  # a corpus without files has no labels
    return [{"stamp": None, "sha256": digest.hexdigest()}]


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


# --- opening ------------------------------------------------------------------------------------------------------


def _open(
    folder: Path, key: dict[str, Any], pairs: Callable[..., Iterator[Pair]], made_because: str = ""
) -> TokenStore:
    """Map the store, or raise _Unfit with the reason why it must be made."""
    header = _read_header(folder)
    if header.get("key") != key:
        raise _Unfit("made from something else")
    if not made_because:
        _check_text(folder, header, key, pairs)
    arrays = {name: _map(folder / name, about) for name, about in header["arrays"].items()}
    src, tgt = (Sentences(arrays[f"{side}.tokens"], arrays[f"{side}.offsets"]) for side in ("src", "tgt"))
    return TokenStore(folder, src, tgt, _lost(header["lost"]), made_because, arrays.get("labels"))


def _read_header(folder: Path) -> dict[str, Any]:
    try:
        header = json.loads((folder / "header.json").read_bytes())
        whole = header.pop("checksum") == zlib.crc32(_json(header))
    except FileNotFoundError:
        raise _Unfit("not there" if not folder.exists() else "header missing") from None
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):  # half a character is a ValueError too
        raise _Unfit("header damaged") from None
    if not whole:
        raise _Unfit("header damaged")
    return header


def _lost(table: dict[str, Any]) -> LostPairs:
    return LostPairs(table["lines"], table["kept"], Counter(table["dropped"]))


def _write_header(folder: Path, header: dict[str, Any]) -> None:
    aside = folder / "header.json.part"
    with open(aside, "wb") as file:
        file.write(_json({**header, "checksum": zlib.crc32(_json(header))}))
        _flush(file)
    os.replace(aside, folder / "header.json")


def _check_text(
    folder: Path, header: dict[str, Any], key: dict[str, Any], pairs: Callable[..., Iterator[Pair]]
) -> None:
    stamps = [_stamp(path) for path in key["files"]]
    if stamps and None not in stamps and stamps == [text["stamp"] for text in header["text"]]:
        return
    text = _text_of(key, pairs)
    if [part["sha256"] for part in text] != [part["sha256"] for part in header["text"]]:
        raise _Unfit("text changed")
    if text != header["text"]:  # same text with a new date: remember it, so that the next start need not read it all
        _write_header(folder, {**header, "text": text})


def _map(path: Path, about: dict[str, Any]) -> np.ndarray:
    """Map one array and check its length and CRC-32 (about 1.5 GB a second, the price of never training on rubbish)."""
    dtype = np.dtype(about["dtype"])
    try:
        if path.stat().st_size != about["length"] * dtype.itemsize:
            raise _Unfit(f"{path.name} truncated")
    except FileNotFoundError:
        raise _Unfit(f"{path.name} missing") from None
    if not about["length"]:
        return np.zeros(0, dtype)  # nothing can be mapped from an empty file
    array = np.asarray(np.memmap(path, dtype, mode="r"))
    crc, raw = 0, array.view(np.uint8)
    for start in range(0, len(raw), CHECK_BYTES):
        crc = zlib.crc32(raw[start : start + CHECK_BYTES].data, crc)
    if crc != about["crc32"]:
        raise _Unfit(f"{path.name} damaged")
    return array


# --- making -------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time open or make the store; the system takes the lock back from one that is killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(
    folder: Path,
    key: dict[str, Any],
    pairs: Callable[[LostPairs], Iterator[Pair]],
    tokenizers: TokenizerPair,
    on_progress: Progress | None,
) -> None:
    """Tokenise the text into ``folder``, which is there whole or, whatever happens, not at all."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed; the lock says that nobody else is writing
    part.mkdir()
    try:
        _write(part, key, pairs, tokenizers, on_progress)
        if folder.exists():
            shutil.rmtree(folder)  # those who mapped its files keep them
        os.rename(part, folder)
        _flush_folder(folder.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write(
    part: Path,
    key: dict[str, Any],
    pairs: Callable[[LostPairs], Iterator[Pair]],
    tokenizers: TokenizerPair,
    on_progress: Progress | None,
) -> None:
    text, lost, done = _text_of(key, pairs), LostPairs(), 0
    with ExitStack() as files:
        src = _SideWriter(part, "src", tokenizers.src, files)
        tgt = _SideWriter(part, "tgt", tokenizers.tgt, files)
        places = {label: place for place, label in enumerate(key.get("labels", ()))}
        labels = _ArrayWriter(part / "labels", np.dtype(np.int32), files) if places else None
        lines = pairs(lost)
        while chunk := list(islice(lines, CHUNK_PAIRS)):
            src.add([pair.src for pair in chunk])
            tgt.add([pair.tgt for pair in chunk])
            if labels:
                labels.add(np.array([places[pair.label] for pair in chunk], np.int32))
            done += len(chunk)
            if on_progress is not None:
                on_progress(done)
        arrays = {**src.finish(), **tgt.finish(), **({"labels": labels.finish()} if labels else {})}
    for path, before in zip(key["files"], text):
        if _stamp(path) != before["stamp"]:
            raise CorpusError("text-changed", path=path)
    _write_header(part, {"key": key, "text": text, "lost": lost.to_dict(), "arrays": arrays})
    _flush_folder(part)


class _SideWriter:
    """Appends sentences to one side's two files, which ``files`` closes."""

    def __init__(self, folder: Path, side: str, tokenizer: AnyTokenizer, files: ExitStack) -> None:
        self.tokenizer = tokenizer
        dtype = np.uint16 if tokenizer.vocabulary_size <= 1 << 16 else np.uint32
        self.tokens = _ArrayWriter(folder / f"{side}.tokens", np.dtype(dtype), files)
        self.offsets = _ArrayWriter(folder / f"{side}.offsets", np.dtype(np.int64), files)
        self.offsets.add(np.zeros(1, np.int64))

    def add(self, texts: list[str]) -> None:
        sequences = self.tokenizer.encode_batch(texts)
        ends = self.tokens.length + np.cumsum([len(ids) for ids in sequences], dtype=np.int64)
        self.tokens.add(np.fromiter(chain.from_iterable(sequences), self.tokens.dtype))
        self.offsets.add(ends)

    def finish(self) -> dict[str, Any]:
        """Flush both files and return what the header says of them."""
        return {array.path.name: array.finish() for array in (self.tokens, self.offsets)}


class _ArrayWriter:
    """Appends to one array's file and keeps its length and CRC-32."""

    def __init__(self, path: Path, dtype: np.dtype, files: ExitStack) -> None:
        self.path, self.dtype, self.length, self.crc32 = path, dtype, 0, 0
        self.file = files.enter_context(path.open("wb"))

    def add(self, values: np.ndarray) -> None:
        raw = values.tobytes()
        self.file.write(raw)
        self.crc32 = zlib.crc32(raw, self.crc32)
        self.length += len(values)

    def finish(self) -> dict[str, Any]:
        _flush(self.file)
        return {"dtype": self.dtype.str, "length": self.length, "crc32": self.crc32}


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
