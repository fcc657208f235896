"""SentencePiece's model files (.spm), read by their layout: a protocol buffer of scored pieces and rules.

Departure: Marian's program looks a stretch of characters without a piece up in the vocabulary of both languages; here
it is unknown even where the other language has it as a piece.

Field numbers are those of sentencepiece_model.proto: ModelProto {1: pieces {1: piece, 2: score, 3: type}, 2: trainer
{3: model_type}, 3: normalizer {2: precompiled_charsmap, 3: add_dummy_prefix, 4: remove_extra_whitespaces}}.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from clearhead.errors import RunError
from clearhead.text.foreign import NUL

UNIGRAM, NORMAL, USER_DEFINED = 1, 1, 4
NEVER = -100.0
"""The score of a token that text does not become."""


@dataclass(frozen=True)
class SentencePieceModel:
    """What a unigram .spm file says.

    scores: of the pieces that text can become; charsmap: rules that normalise a text, compiled.
    """

    scores: dict[str, float]
    charsmap: bytes
    dummy_prefix: bool
    extra_whitespace: bool

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> SentencePieceModel:
        """Read the content of file ``name``.

        Raises:
            RunError: it is not such a file, or holds another kind of model.
        """
        try:
            top = list(_fields(content))
            trainer, normalizer = (dict(_fields(b"".join(_all(top, number)))) for number in (2, 3))
            pieces = [dict(_fields(piece)) for piece in _all(top, 1)]
            if not pieces or trainer.get(3, UNIGRAM) != UNIGRAM:
                raise ValueError("not a unigram model")
            text = [piece for piece in pieces if piece.get(3, NORMAL) in (NORMAL, USER_DEFINED)]
            scores = {piece[1].decode(): struct.unpack("<f", piece[2])[0] for piece in text}
            return cls(scores, normalizer.get(2, b""), bool(normalizer.get(3, 1)), not normalizer.get(4, 1))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
            raise RunError("bad-spm", name=name, problem=error) from error

    def tokenizer(self, ids: Mapping[str, int], special: Mapping[str, str]) -> Tokenizer:
        """Return the tokenizer that gives a piece the id that ``ids`` says, and every text eos at its end.

        Tokens of ``ids`` that are no pieces never come out of text: their names get a NUL in front, and where a text
        spells a special one, a space goes into it. (A language tag in front is ``ForeignTokenizer``'s to know.)

        ids: 0, 1, 2 and so on; special: role -> token, "eos" and "unk" among them.
        """
        names = sorted(ids, key=lambda name: ids[name])
        kept = self.scores.keys() | {*special.values()}
        scored = [(name if name in kept else NUL + name, self.scores.get(name, NEVER)) for name in names]
        tokenizer = Tokenizer(models.Unigram(scored, unk_id=ids[special["unk"]], byte_fallback=False))
        rules: list[normalizers.Normalizer] = [normalizers.Precompiled(self.charsmap)] if self.charsmap else []
        rules += [normalizers.Replace(token, f"{token[:1]} {token[1:]}") for token in special.values()]
        if not self.extra_whitespace:
            rules += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
        tokenizer.normalizer = normalizers.Sequence(rules)
        scheme = "always" if self.dummy_prefix else "never"
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        eos = special["eos"]
        tokenizer.post_processor = processors.TemplateProcessing(f"$A {eos}", None, [(eos, ids[eos])])
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special.values()])
        return tokenizer


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of a protocol buffer's fields: numbers as int, everything else as its bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        value: Any
        if kind == 0:
            value, at = _varint(content, at)
        else:
            if kind not in (1, 2, 5):
                raise ValueError(f"field {number} of kind {kind}")
            size, at = _varint(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value = content[at : at + size]
            if len(value) < size:
                raise ValueError("cut short")
            at += size
        yield number, value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return the number at ``at``, seven bits a byte, the lowest first, and where the next field begins."""
    number = shift = 0
    while True:
        byte = content[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _all(fields: list[tuple[int, Any]], wanted: int) -> list[bytes]:
    return [value for number, value in fields if number == wanted and isinstance(value, bytes)]
