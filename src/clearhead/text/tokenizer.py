"""Subword tokenizers (BPE or unigram, with bytes for rare characters) that give every text back exactly, in NFC.

Layout of the ids, the same for every vocabulary:

    0 <pad>   1 <unk>   2 <bos>   3 <eos>
    4..67     reserved: language tags first, by name ("<2de>"), then placeholders; the last one hides a masked token
    68..323   the 256 bytes ("<0x00>".."<0xff>" as the library spells them), for characters without a token
    324..     what was learnt: characters and subwords; a space at a subword's front is the word boundary

A text is read as its NFC form with one space in front, so that a word is the same token wherever it stands; decoding
joins the tokens' bytes and takes that space off. Names in angle brackets cannot arise from text: "<" is always a
word and a token of its own, so that "</s>", "<pad>" or "<0x41>" in a text, however frequent, stays text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TYPE_CHECKING, TypeVar
from unicodedata import normalize

import numpy as np
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from clearhead.config import TokenizerConfig
from clearhead.errors import ConfigError, CorpusError, RunError
from clearhead.text.library import LibraryTokenizer, Token, checked, read_library
from clearhead.text.unigram import learn_unigram

if TYPE_CHECKING:
    from clearhead.text.foreign import AnyTokenizer

SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
RESERVED = 64
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
FIRST_BYTE = len(SPECIALS) + RESERVED
FIRST_LEARNT = FIRST_BYTE + len(BYTES)

WORD = (
    r" ?&#?[\p{L}\p{N}]+;"  # an escaped character: Moses' &apos; or HTML's &#39;
    r"| ?[\p{L}\p{M}]+(?:[-'’][\p{L}\p{M}]+)*"  # letters; hyphen and apostrophe inside (t-shirt, don't)
    r"| ?\p{N}+"
    r"|<"  # always alone: see the module's docstring
    r"| ?[^\s\p{L}\p{M}\p{N}<]+"  # punctuation, symbols, emoji
    r"|\s"
)
"""What subwords are learnt and looked up in; subwords never cross words."""

COVERAGE = 0.9998
"""The most frequent characters that together make up this share of the corpus get a token each; a rarer one is spelt
in bytes. Without it a large corpus's thousands of stray characters would take the place of subwords."""


class Tokenizer(LibraryTokenizer):
    """Turns text into token ids and back; ``decode(encode(s)) == NFC(s)`` for every string."""

    fronts_space = True

    def __init__(self, json_text: str, decoder_start: str = "bos") -> None:
        """Use ``Tokenizer.train`` or ``Tokenizer.from_json``."""
        super().__init__(json_text, decoder_start)
        self._model = read_library(json_text)
        self._model.normalizer = None  # _read does it with Python's Unicode tables, so that the round trip is exact
        self._names = _names_by_id(self._model.get_vocab())
        self._bytes = [b""] * FIRST_BYTE + [bytes([byte]) for byte in range(256)]
        self._bytes += [name.encode() for name in self._names[FIRST_LEARNT:]]
        self._ids = {name: id for id, name in enumerate(self._names)}
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = range(len(SPECIALS))
        self.decoder_start_id = self._ids[f"<{decoder_start}>"]
        self.mask_id = FIRST_BYTE - 1
        self.special_ids = range(FIRST_BYTE)
        self.ordinary_ids = range(FIRST_BYTE, len(self._names))
        self.start_ids: list[int] = []

    @classmethod
    def train(cls, lines: Iterable[str], config: TokenizerConfig, tags: Sequence[str] = ()) -> Tokenizer:
        """Learn a vocabulary from ``lines``, which are read once and not held; the same lines give the same bytes.

        Args:
            lines: sentences, in any normal form.
            config: kind and size of the vocabulary.
            tags: names of language tags; at most 64.

        Raises:
            CorpusError: no text, or not enough of it for ``config.vocabulary_size`` tokens.
            ConfigError: a tag's name is taken or empty, or there are too many; the config's vocabulary is imported.
        """
        if config.kind == "imported":
            raise ConfigError("imported-tokenizer")
        learn = {"bpe": _learn_bpe, "unigram": _learn_unigram, "characters": _learn_characters}[config.kind]
        model = learn(map(cls._read, lines), _fixed_names(tags), config.vocabulary_size - FIRST_LEARNT)
        return cls(_assemble(model).to_str(), config.decoder_start)

    @property
    def prompt_start(self) -> list[int]:
        """What stands in front of a text that a language model is to continue: an eos, as in training."""
        return [self.eos_id]

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, special, reserved and byte ones included."""
        return len(self._names)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; special and reserved ids say nothing, bytes that are no UTF-8 become U+FFFD."""
        text = b"".join([self._bytes[id] for id in ids]).decode("utf-8", errors="replace")
        return text.removeprefix(" ")

    def byte_lengths(self) -> np.ndarray:
        """Return how many bytes of text each token stands for, (V,) int64; special and reserved ones for none."""
        return np.array([len(content) for content in self._bytes], np.int64)

    def begins_word(self, id: int) -> bool:
        """Return whether token ``id`` is the first of a word: a space stands before it, or it is not text at all."""
        return id < FIRST_BYTE or self._bytes[id].startswith(b" ")

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of ``text`` over its characters; all bytes of one character point to that character."""
        character = [
            i for i, c in enumerate(self._read(text), -1) for _ in c.encode()
        ]  # byte -> its character; the front space is -1
        tokens, at = [], 0
        for id in self.encode(text):
            first, last = character[at], character[at + len(self._bytes[id]) - 1]
            tokens.append(Token(id, self._names[id], max(first, 0), last + 1))
            at += len(self._bytes[id])
        return tokens

    def token_text(self, id: int) -> str:
        """Return the token's name: " the", "<0xE2>", "<eos>"."""
        return self._names[id]

    def roles(self) -> dict[str, int]:
        """Return the ids that have a role of their own."""
        return {"pad": self.pad_id, "unk": self.unk_id, "bos": self.bos_id, "eos": self.eos_id, "mask": self.mask_id}

    @staticmethod
    def _read(text: str) -> str:
        return " " + normalize("NFC", checked(text)) if text else ""

    def tag_id(self, name: str) -> int:
        """Return the id of a language tag.

        Raises:
            ConfigError: the tokenizer was not trained with this tag.
        """
        reserved = self._names[len(SPECIALS) : FIRST_BYTE]
        if f"<{name}>" not in reserved:
            known = [tag[1:-1] for i, tag in enumerate(reserved) if tag != _placeholder(i)]
            raise ConfigError("unknown-tag", tag=name, known=", ".join(known) or "-")
        return self._ids[f"<{name}>"]


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of the two languages; one and the same where the vocabulary is joint."""

    src: AnyTokenizer
    tgt: AnyTokenizer

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.src is self.tgt

    @classmethod
    def train(
        cls, src_lines: Iterable[str], tgt_lines: Iterable[str], config: TokenizerConfig, tags: Sequence[str] = ()
    ) -> TokenizerPair:
        """Learn a vocabulary of both languages, or one of each; each iterable is read once, source first.

        Raises: as ``Tokenizer.train``.
        """
        if config.joint:
            both = Tokenizer.train(chain(src_lines, tgt_lines), config, tags)
            return cls(both, both)
        return cls(Tokenizer.train(src_lines, config, tags), Tokenizer.train(tgt_lines, config, tags))


# --- the layout ---------------------------------------------------------------------------------------------------


def _placeholder(i: int) -> str:
    return f"<reserved-{i}>"


def _fixed_names(tags: Sequence[str]) -> list[str]:
    """Return the names of the ids below ``FIRST_LEARNT``."""
    if len(tags) > RESERVED:
        raise ConfigError("bad-tag", tag=tags[RESERVED], problem=f"{len(tags)} tags", limit=RESERVED)
    reserved = [f"<{tag}>" for tag in tags] + [_placeholder(i) for i in range(len(tags), RESERVED)]
    names = [*SPECIALS, *reserved, *BYTES]
    for tag in tags:
        if not tag or names.count(f"<{tag}>") > 1:
            raise ConfigError("bad-tag", tag=tag, problem="empty" if not tag else "the name is taken", limit=RESERVED)
    return names


def _names_by_id(vocabulary: dict[str, int]) -> list[str]:
    names = sorted(vocabulary, key=lambda name: vocabulary[name])
    layout = (*names[: len(SPECIALS)], *names[FIRST_BYTE:FIRST_LEARNT])
    if layout != (*SPECIALS, *BYTES) or sorted(vocabulary.values()) != list(range(len(names))):
        raise RunError("bad-tokenizer", problem="other special or byte tokens")
    return names


def _assemble(model: models.Model) -> tokenizers.Tokenizer:
    """Put ``model`` behind the reading of text; normaliser and decoder say to other programs what is done here."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend(" ")])
    tokenizer.pre_tokenizer = _words()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def _words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(WORD), "isolated")


# --- learning -----------------------------------------------------------------------------------------------------


Pieces = TypeVar("Pieces", bound=Sized)


def _within(size: int, counts: Counter[str], learn: Callable[[list[str]], Pieces]) -> Pieces:
    """Return ``size`` pieces that ``learn`` makes of the alphabet: the most frequent characters, up to ``COVERAGE``.

    Characters are at most half of the pieces; more only where the corpus has too few others.

    Raises:
        CorpusError: no text, or not enough of it.
    """
    alphabet = _alphabet(counts)
    limit = size // 2
    while True:
        pieces = learn(alphabet[:limit])
        if len(pieces) == size:
            return pieces
        if limit >= len(alphabet):
            raise CorpusError("vocabulary-too-large", wanted=FIRST_LEARNT + size, possible=FIRST_LEARNT + len(pieces))
        limit += size - len(pieces)


def _alphabet(counts: Counter[str]) -> list[str]:
    """Return the most frequent characters, up to ``COVERAGE``.

    Raises:
        CorpusError: no text.
    """
    if not counts:
        raise CorpusError("no-text")
    ranked = counts.most_common()
    before = accumulate((count for _, count in ranked), initial=0)
    return [character for (character, _), n in zip(ranked, before) if n < COVERAGE * counts.total()]


def _learn_characters(lines: Iterable[str], names: list[str], size: int) -> models.Model:
    """Single characters: BPE without merges."""
    alphabet = _alphabet(Counter(chain.from_iterable(lines)))[:size]
    vocabulary = {name: id for id, name in enumerate([*names, *sorted(alphabet)])}
    return models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True)


def _learn_bpe(lines: Iterable[str], names: list[str], size: int) -> models.Model:
    """Byte-pair encoding (Sennrich et al. 2016) over characters; a merge that holds a rare character is left out.

    The library's own limit on the alphabet differs between runs where counts are equal. BPE is greedy, so the first
    merges do not depend on how many are asked for: more are asked for, and those with a rare character skipped.
    """
    spare = 1 << 16  # no corpus has so many rare characters
    counts: Counter[str] = Counter()

    def counted() -> Iterator[str]:
        for line in lines:
            counts.update(line)
            yield line

    learner = tokenizers.Tokenizer(models.BPE())
    learner.pre_tokenizer = _words()
    trainer = trainers.BpeTrainer(vocab_size=size + spare, min_frequency=2, show_progress=False)
    learner.train_from_iterator(counted(), trainer)
    learnt: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]

    def pieces_of(alphabet: list[str]) -> dict[str, None]:
        pieces = dict.fromkeys(sorted(alphabet))
        for left, right in learnt:
            if len(pieces) == size:
                break
            if left in pieces and right in pieces:
                pieces[left + right] = None
        return pieces

    pieces = _within(size, counts, pieces_of)
    vocabulary = {name: id for id, name in enumerate([*names, *pieces])}
    merges = [(left, right) for left, right in learnt if {left, right, left + right} <= pieces.keys()]
    return models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True)


def _learn_unigram(lines: Iterable[str], names: list[str], size: int) -> models.Model:
    """A unigram language model over pieces (Kudo 2018): see ``unigram.py``."""
    words: Counter[str] = Counter()
    splitter = _words()
    for line in lines:
        words.update(word for word, _ in splitter.pre_tokenize_str(line))
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count

    pieces = _within(size, counts, lambda alphabet: learn_unigram(words, alphabet, size))
    fixed = [(name, 0.0) for name in names]  # never chosen by score: see the module's docstring
    return models.Unigram(fixed + pieces, unk_id=SPECIALS.index("<unk>"), byte_fallback=True)
