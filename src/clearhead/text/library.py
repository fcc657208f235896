"""What every tokenizer of ours does through the tokenizers library."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Self

import tokenizers

from clearhead.errors import RunError, UsageError


@dataclass(frozen=True)
class Token:
    """A token over its characters: ``start`` and ``end`` are character offsets in the text's NFC form."""

    id: int
    text: str
    start: int
    end: int


class LibraryTokenizer:
    """A tokenizer that is kept as JSON and computes by the library's model.

    separators: how many eos stand between two texts that are read together.
    fronts_space: whether a text is read with a space in front that it does not have.
    """

    _model: tokenizers.Tokenizer
    separators: int = 1
    fronts_space: bool = False

    def __init__(self, json_text: str, decoder_start: str) -> None:
        _keep_forks_quiet()
        self._json = json_text
        self._decoder_start = decoder_start

    @classmethod
    def from_json(cls, text: str, decoder_start: str = "bos") -> Self:
        """Return the tokenizer that ``to_json`` wrote.

        Raises:
            RunError: the text is not a tokenizer of this kind.
        """
        try:
            return cls(text, decoder_start)
        except RunError:
            raise
        except Exception as error:  # of any kind: the text can be anything
            raise RunError("bad-tokenizer", problem=str(error).partition("\n")[0]) from error

    def to_json(self) -> str:
        """Return the tokenizer as JSON; ``from_json`` gives it back."""
        return self._json

    @property
    def prompt_start(self) -> list[int]:
        """What stands in front of a text that a language model is to continue."""
        encoding = self._model.encode("a")
        added = takewhile(lambda each: each[1], zip(encoding.ids, encoding.special_tokens_mask))
        return [id for id, _ in added]

    @property
    def fingerprint(self) -> str:
        """The sha256 of ``to_json`` in hex."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    def without_tag(self, text: str) -> tuple[list[int], str]:
        """Return the id of the language tag that ``text`` itself begins with, and the rest; in ours no text does."""
        return [], text

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``, without bos or eos.

        Raises:
            UsageError: the text holds a lone surrogate, which no Unicode text does.
        """
        return self._encoding(text).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, on all processors at once."""
        encodings = self._model.encode_batch_fast([self._read(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; special ones say nothing."""
        raise NotImplementedError

    def decode_batch(self, batch: Iterable[Iterable[int]]) -> list[str]:
        """Return the text of each sequence of ids."""
        return [self.decode(ids) for ids in batch]

    def _encoding(self, text: str) -> tokenizers.Encoding:
        return self._model.encode(self._read(text), add_special_tokens=False)

    @staticmethod
    def _read(text: str) -> str:
        """Return ``text`` as the model takes it."""
        return checked(text)


def read_library(json_text: str) -> tokenizers.Tokenizer:
    """Return the library's tokenizer.

    Raises:
        ValueError: the library does not read it, or panics, which is no ``Exception`` and would end the program.
    """
    try:
        return tokenizers.Tokenizer.from_str(json_text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ValueError(str(error).partition("\n")[0]) from error


def checked(text: str) -> str:
    """Return ``text``, which may come from anywhere, where it is Unicode.

    Raises:
        UsageError: it holds a lone surrogate.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        character = f"U+{ord(text[error.start]):04X}"
        raise UsageError("lone-surrogate", column=error.start + 1, character=character) from error
    return text


@cache
def _keep_forks_quiet() -> None:
    """Let a forked child tokenise on one thread: the library's threads do not survive a fork, and it warns of that."""
    name = "TOKENIZERS_PARALLELISM"
    if name not in os.environ and hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lambda: os.environ.__setitem__(name, "false"), after_in_parent=lambda: os.environ.__delitem__(name)
        )
