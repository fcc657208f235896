"""Tokenizers that came with a model from elsewhere, used as they are through the tokenizers library.

The file is one JSON object: "tokenizer" is the library's own format, untouched, and "clearhead" says what it does not:

    vocabulary_size     rows of the model's embedding; ids that the tokenizer does not know are never chosen
    roles               which ids are pad, unk, bos, eos and mask, as far as there are such
    settings            the model's tokenizer_config.json, for the way back
    spm                 the SentencePiece model that "tokenizer" was made from, in base 64, for the way back
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders

from clearhead.errors import ConfigError, RunError
from clearhead.text.library import LibraryTokenizer, Token, read_library
from clearhead.text.tokenizer import Tokenizer

NUL = "\0"
"""Stands in front of a token's name in "tokenizer" where no text may become that token."""


class ForeignTokenizer(LibraryTokenizer):
    """Answers what ``text.tokenizer.Tokenizer`` answers, with another library's vocabulary.

    What it promises less: a text need not come back exactly, for many vocabularies drop case or spaces. A text cannot
    spell a special token here either; the one thing that it can is a language tag at its very beginning,
    ">>fra<< the cat", as OPUS-MT's models for several languages are asked.

    pad_id: eos where the model has nothing of its own to pad with; padding is hidden, whatever it is.
    special_ids: the ids that are no text, unused rows of the embedding among them.
    ordinary_ids: the longest stretch of ids without a special one.
    start_ids: what stands in front of every text of an encoder, for example [CLS].
    """

    def __init__(self, json_text: str, decoder_start: str = "bos") -> None:
        """Use ``ForeignTokenizer.from_json`` or ``ForeignTokenizer.make``."""
        super().__init__(json_text, decoder_start)
        content = json.loads(json_text)
        header = content["clearhead"]
        self._roles: dict[str, int] = dict(header["roles"])
        self.settings: dict[str, Any] = header["settings"]
        self.spm: str = header["spm"]
        self.vocabulary_size: int = header["vocabulary_size"]
        self._model = read_library(json.dumps(content["tokenizer"]))
        self._model.no_truncation()
        self._model.no_padding()
        names = [self._model.id_to_token(id) for id in range(self.vocabulary_size)]
        self._names = [name and name.removeprefix(NUL) for name in names]
        self._tags = {
            name: id for id, name in enumerate(self._names) if name and name[:2] == ">>" and name[-2:] == "<<"
        }
        self._check()
        self.eos_id = self._roles["eos"]
        self.pad_id = self._roles.get("pad", self.eos_id)
        self.start_ids = list(takewhile(lambda id: id != self.eos_id, self._model.encode("").ids))
        self.separators = max(1, self._model.encode("", "").ids[:-1].count(self.eos_id))
        self._model.encode_special_tokens = True  # as text: what a text says about [SEP] is not one
        added = self._model.get_added_tokens_decoder()
        special = {id for id, token in added.items() if token.special} | {*self._roles.values()}
        self.special_ids = sorted(special | {id for id, name in enumerate(self._names) if name is None})
        bounds = [-1, *self.special_ids, self.vocabulary_size]
        begin, end = max(pairwise(bounds), key=lambda pair: pair[1] - pair[0])
        self.ordinary_ids = range(begin + 1, end)
        self._special = frozenset(self.special_ids)

    @classmethod
    def make(
        cls,
        model: tokenizers.Tokenizer,
        roles: Mapping[str, int],
        vocabulary_size: int,
        settings: Mapping[str, Any],
        decoder_start: str = "bos",
        spm: str = "",
    ) -> ForeignTokenizer:
        """Return the tokenizer of a library's ``model`` and what is to be known about it: see the module's docstring.

        Raises:
            RunError: the model knows ids beyond ``vocabulary_size``, or has no eos.
        """
        header = {"vocabulary_size": vocabulary_size, "roles": dict(roles), "settings": dict(settings), "spm": spm}
        content = {"clearhead": header, "tokenizer": json.loads(model.to_str())}
        return cls(json.dumps(content, ensure_ascii=False), decoder_start)

    def library_json(self) -> str:
        """Return the tokenizer in the library's own format, as other programs read it."""
        return json.dumps(json.loads(self._json)["tokenizer"], ensure_ascii=False)

    # --- ids with a role

    @property
    def unk_id(self) -> int:
        """What stands for characters that the vocabulary does not know."""
        return self._role("unk")

    @property
    def bos_id(self) -> int:
        """What a text begins with."""
        return self._role("bos")

    @property
    def mask_id(self) -> int:
        """What hides a token from a masked language model."""
        return self._role("mask")

    @property
    def decoder_start_id(self) -> int:
        """What a decoder takes in first."""
        return self.pad_id if self._decoder_start == "pad" else self._role(self._decoder_start)

    def roles(self) -> dict[str, int]:
        """Return the ids of the roles there are."""
        return dict(self._roles)

    def _role(self, name: str) -> int:
        if name not in self._roles:
            raise ConfigError("no-such-role", role=name)
        return self._roles[name]

    def tag_id(self, name: str) -> int:
        """Return the id of a language tag, ">>name<<" as OPUS-MT's models spell it.

        Raises:
            ConfigError: the vocabulary has no such tag.
        """
        if f">>{name}<<" not in self._tags:
            raise ConfigError("unknown-tag", tag=name, known=", ".join(tag[2:-2] for tag in self._tags) or "-")
        return self._tags[f">>{name}<<"]

    def without_tag(self, text: str) -> tuple[list[int], str]:
        """Return the id of the tag that ``text`` begins with, if it does, and what stands behind it."""
        front, end, _ = text.partition("<<")
        id = self._tags.get(front + end)
        return ([], text) if id is None else ([id], text[len(front + end) :])

    # --- text and ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text``; see ``LibraryTokenizer.encode``."""
        tag, rest = self.without_tag(text)
        return [*tag, *super().encode(rest)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, on all processors at once."""
        tags, rests = zip(*map(self.without_tag, texts)) if texts else ((), ())
        return [[*tag, *ids] for tag, ids in zip(tags, super().encode_batch(rests))]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids``; special ones say nothing."""
        kept = [id for id in ids if id not in self._special]
        if self.spm:  # a model may say what no text of this side becomes: by its name, without the NUL
            return self._model.decoder.decode([self.token_text(id) for id in kept])
        return self._model.decode(kept, skip_special_tokens=False)

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of ``text`` over its characters."""
        tag, rest = self.without_tag(text)
        encoding, front = self._encoding(rest), len(text) - len(rest)
        spans = [(front + start, front + end) for start, end in encoding.offsets]
        ids, spans = [*tag, *encoding.ids], [(0, front)] * len(tag) + spans
        return [Token(id, self.token_text(id), *span) for id, span in zip(ids, spans)]

    def token_text(self, id: int) -> str:
        """Return the token's name as the vocabulary spells it: "##ing", "Ġthe", "▁und"."""
        return self._names[id] or f"<unused-{id}>"

    def byte_lengths(self) -> np.ndarray:
        """Return how many bytes of text each token stands for, (V,) int64; special ones for none.

        In a vocabulary of bytes (GPT-2) this is exact; in others a space counts where the token holds it.
        """
        names = ["" if id in self._special else self.token_text(id) for id in range(self.vocabulary_size)]
        if isinstance(self._model.decoder, decoders.ByteLevel):  # each byte is spelt as one character
            return np.array([len(name) for name in names], np.int64)
        prefix = getattr(self._model.model, "continuing_subword_prefix", None) or ""
        return np.array([len(name.removeprefix(prefix).replace("▁", " ").encode()) for name in names], np.int64)

    def begins_word(self, id: int) -> bool:
        """Return whether token ``id`` is the first of a word, or not text at all."""
        prefix = getattr(self._model.model, "continuing_subword_prefix", None)
        name = self.token_text(id)
        return id in self._special or (not name.startswith(prefix) if prefix else name.startswith(("Ġ", "▁")))

    def _check(self) -> None:
        known = max(self._model.get_vocab().values(), default=-1) + 1
        if known > self.vocabulary_size:
            raise RunError("vocabulary-larger", tokens=known, rows=self.vocabulary_size)
        if "eos" not in self._roles or not all(0 <= id < self.vocabulary_size for id in self._roles.values()):
            raise RunError("bad-tokenizer", problem="no eos, or a special token beyond the vocabulary")


AnyTokenizer = Tokenizer | ForeignTokenizer
"""What turns text into ids and back: ours, or one that came with a model."""
