"""A toy tokenizer and corpora that live in memory: what is tested here does not depend on how text becomes tokens."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

from clearhead.config import DataConfig, ParallelFiles
from clearhead.data.corpus import ParallelCorpus, Part
from clearhead.data.store import Sentences, TokenStore
from clearhead.text.corpus import LostPairs

settings.register_profile("any-machine", deadline=None)  # how long one example takes is the machine's affair
settings.load_profile("any-machine")

PAD, BOS, EOS, FIRST = 0, 2, 3, 10


class ToyTokenizer:
    """One token a character, its code point + 10; it counts how often it is called, and tells audit hooks."""

    pad_id, bos_id, eos_id, decoder_start_id = PAD, BOS, EOS, BOS
    separators = 1

    def __init__(self, name: str = "toy", vocabulary_size: int = 60_000) -> None:
        self.fingerprint = hashlib.sha256(name.encode()).hexdigest()
        self.vocabulary_size = vocabulary_size
        self.calls = 0

    def encode_batch(self, texts):
        self.calls += 1
        sys.audit("toy.encode")
        return [[ord(letter) + FIRST for letter in text] for text in texts]

    def decode_batch(self, rows):
        return ["".join(chr(token - FIRST) for token in row if token >= FIRST) for row in rows]

    def tag_id(self, name):
        return {"2de": 5, "2en": 6}[name]

    def token_text(self, id):
        return {5: "<2de>", 6: "<2en>"}[id]


class ToyPair:
    def __init__(self, src: ToyTokenizer | None = None, tgt: ToyTokenizer | None = None) -> None:
        self.src = src or ToyTokenizer()
        self.tgt = tgt or self.src


def stored(rows: list[list[int]]) -> Sentences:
    """Sentences in memory."""
    offsets = np.cumsum([0, *map(len, rows)])
    return Sentences(np.array([token for row in rows for token in row], np.uint16), offsets)


def part(pairs: list[tuple[list[int], list[int]]], weight: float = 1.0, tag_id: int | None = None) -> Part:
    """A part in memory that has all its pairs."""
    sides = stored([src for src, _ in pairs]), stored([tgt for _, tgt in pairs])
    store = TokenStore(Path("memory"), *sides, LostPairs(len(pairs), len(pairs)), "")
    return Part(store, np.arange(len(pairs)), weight, tag_id)


def corpus(*parts: Part) -> ParallelCorpus:
    return ParallelCorpus(parts, EOS, EOS)


def corpus_of_lengths(src: list[int], tgt: list[int]) -> ParallelCorpus:
    """A corpus whose sides have these many tokens, eos counted (so at least 1)."""
    return corpus(part([([FIRST] * (s - 1), [FIRST] * (t - 1)) for s, t in zip(src, tgt)]))


def write_corpus(folder: Path, src: list[str], tgt: list[str], name: str = "train") -> DataConfig:
    """Write two files and return the config that names them."""
    for side, lines in (("src", src), ("tgt", tgt)):
        (folder / f"{name}.{side}").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return DataConfig(root=str(folder), sources=(ParallelFiles(src=f"{name}.src", tgt=f"{name}.tgt"),))


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    """All of the above: test files cannot import one another."""
    return SimpleNamespace(**globals())
