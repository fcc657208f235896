"""A fuzzer for each format that clearhead reads: how to change one and what to do with it."""

from __future__ import annotations

import gzip
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from clearhead.cli.report import report
from clearhead.config import ParallelFiles, Source, TsvColumns
from clearhead.data.store import open_store
from clearhead.errors import CorpusError
from clearhead.runs.checkpoints import load_checkpoint
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.runs.manifest import read_manifest
from clearhead.runs.reduced import restored
from clearhead.runs.tensors import check_storage, read_tensors
from clearhead.text.corpus import LostPairs, read_pairs
from clearhead.text.tokenizer import Tokenizer
from clearhead.training.position import from_state

from ..runs.hostile import change_bytes, change_json, change_tensors, change_toml, restamp

Change = Callable[[random.Random, bytes], bytes]
Case = tuple[str, Callable[[], object]]
STEP = "checkpoints/step-00000001"


def files_of(folder: Path, seconds: float, name: str, change: Change, use: Callable[[Path], object]) -> Iterator[Case]:
    """Change one file of a run again and again, from what it was; the manifest agrees."""
    path = folder / name
    original = path.read_bytes()
    for number, draw in until(seconds):
        content = original
        for _ in range(draw.choice([1, 1, 2, 4])):
            content = (change if draw.random() < 0.7 else change_bytes)(draw, content)
        path.write_bytes(content)
        if not name.endswith(("manifest.json", ".jsonl")):
            restamp(path.parent)
        yield f"{name} {number}", lambda: use(folder)
    path.write_bytes(original)


def until(seconds: float) -> Iterator[tuple[int, random.Random]]:
    """Count until the time is over; each number has draws of its own, so that a finding can be had again."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        yield number, random.Random(number)
        number += 1


# --- what is done with each


def use_config(folder: Path) -> None:
    RunFolder.open(folder, weights=False)


def use_manifest(folder: Path) -> None:
    read_manifest(folder)


def use_tensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    check_storage(path)
    for tensor in restored(read_tensors(path)).values():
        torch.isfinite(tensor).all()


def use_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer.from_json((folder / "tokenizer.json").read_text("utf-8", "replace"))
    ids = tokenizer.encode("나는 학교에 <2de> gone\n")
    tokenizer.decode([id for id in ids if id < tokenizer.vocabulary_size])


def use_log(folder: Path) -> None:
    EventLog(folder / "log.jsonl").rewind(1)


def use_state(folder: Path) -> None:
    from_state(load_checkpoint(folder / STEP).state)


FORMATS: dict[str, tuple[str, Change, Callable[[Path], object]]] = {
    "run.toml": ("run.toml", change_toml, use_config),
    "manifest.json": ("manifest.json", change_json, use_manifest),
    "safetensors": ("model.safetensors", change_tensors, use_tensors),
    "tokenizer.json": ("tokenizer.json", change_json, use_tokenizer),
    "state.json": (f"{STEP}/state.json", change_json, use_state),
}


# --- those that are not a file of a run


def logs(folder: Path, seconds: float) -> Iterator[Case]:
    """Read a changed log, make the report of it, and rewind it. (Each writes; hence not under the watch for writes.)"""
    run, path = RunFolder.open(folder), folder / "log.jsonl"
    original = path.read_bytes()
    for number, draw in until(seconds):
        content = original
        for _ in range(draw.choice([1, 1, 2, 4])):
            content = change_json(draw, content) if draw.random() < 0.7 else change_bytes(draw, content)
        path.write_bytes(content)
        yield f"log {number} read", lambda: read_log(path)
        yield f"log {number} reported", lambda: report(run)
        yield f"log {number} rewound", lambda: use_log(folder)
        yield f"log {number} read again", lambda: read_log(path)  # what rewinding has left is a log
    path.write_bytes(original)


def stores(folder: Path, tokenizers: Any, seconds: float) -> Iterator[Case]:
    """Open a changed token store: it is made again, and holds what it held."""
    lines = "".join(f"one two {n}\n" for n in range(20))
    for name in ("a", "b"):
        (folder / name).write_text(lines)
    source, cache = ParallelFiles(src="a", tgt="b"), folder / "cache"

    def opened() -> list[list[int]]:
        store = open_store(source, str(folder), False, tokenizers, cache)
        return [side[i].tolist() for side in (store.src, store.tgt) for i in range(len(store))]

    expected = opened()
    (place,) = [path for path in cache.iterdir() if path.is_dir()]
    kept = folder / "kept"
    shutil.copytree(place, kept)

    def use() -> None:
        assert opened() == expected

    for number, draw in until(seconds):
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        path = draw.choice(sorted(place.iterdir()))
        change = change_json if path.suffix == ".json" and draw.random() < 0.7 else change_bytes
        path.write_bytes(change(draw, path.read_bytes()))
        yield f"store {number} {path.name}", use


def corpora(folder: Path, seconds: float) -> Iterator[Case]:
    """Read changed corpora, plain and zipped: every line is kept or dropped, or an error names its place."""
    lines = [f"{n} 하나\tone two {n}\tmore" for n in range(30)]
    sides = ["\n".join(line.split("\t")[side] for line in lines).encode() for side in (0, 1)]
    for number, draw in until(seconds):
        zipped, tabbed = draw.random() < 0.4, draw.random() < 0.5
        contents = [("\n".join(lines)).encode()] if tabbed else list(sides)
        at = draw.randrange(len(contents))
        if draw.random() < 0.7:
            contents[at] = _change_text(draw, contents[at])
        written = [gzip.compress(content, 1, mtime=0) if zipped else content for content in contents]
        if zipped and draw.random() < 0.6:
            written[at] = change_bytes(draw, written[at])
        for name, content in zip("ab", written):
            (folder / name).write_bytes(content)
        source: Source = TsvColumns(tsv="a") if tabbed else ParallelFiles(src="a", tgt="b")
        counted = None if zipped else contents[0]
        for skip in (False, True):
            yield f"corpus {number} {skip}", lambda skip=skip, s=source, c=counted: _read(folder, s, skip, c)


def _change_text(draw: random.Random, content: bytes) -> bytes:
    for _ in range(draw.choice([1, 2, 5])):
        at = draw.randrange(len(content) + 1)
        piece = draw.choice(
            [b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\xff", b"\xed\xa0\x80", "\u2028\u0085\x0b\x1c".encode(),
             b"\xef\xbb\xbf", b"\n\n\n", b" " * 50, "각e\u0301".encode(), b"x" * 1_000_002, draw.randbytes(20)]
        )  # fmt: skip
        content = content[:at] + piece + content[at + draw.choice([0, 0, 1, 30]) :]
    return content if draw.random() < 0.9 else change_bytes(draw, content)


def _read(folder: Path, source: Source, skip: bool, content: bytes | None) -> None:
    lost = LostPairs()
    try:
        kept = list(read_pairs(source, str(folder), skip, lost))
    except CorpusError as error:
        assert lost.lines == lost.kept + lost.dropped.total()
        places = {"not-utf8", "line-too-long", "columns", "broken-gzip"}
        assert ("line" in error.fields) == (error.code in places), error.code
        assert not (skip and error.code in places - {"broken-gzip"})
        raise
    assert lost.lines == lost.kept + lost.dropped.total() and lost.kept == len(kept)
    assert skip or set(lost.dropped) <= {"empty"}
    assert [pair.number for pair in kept] == sorted({pair.number for pair in kept})
    if content is not None:
        assert lost.lines == content.count(b"\n") + (not content.endswith(b"\n"))
