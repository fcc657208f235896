"""The contracts: what every sequence-to-sequence model and every decoder state answers, recurrent or Transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from torch import Tensor

from clearhead.data.batch import Batch


@dataclass(frozen=True)
class Memory:
    """What an encoder says about N sentences.

    hidden: (N, S, D) the encoder's output; what lies at padded positions has no meaning.
    mask: (N, S) bool, True where a token is.
    final: (L, P, N, D) the state of each recurrent layer behind its last token, where a recurrent decoder starts from;
        None where the encoder has no such thing.
    """

    hidden: Tensor
    mask: Tensor
    final: Tensor | None = None


class DecoderState(Protocol):
    """Where a decoder stands in R rows (hypotheses), each of its own length and for a sentence of its own.

    It lives in buffers that are allocated once and written in place; ``select`` and ``join`` give the state to go on
    with and end the old one's use.
    """

    lengths: Tensor
    """(R,) int64: how many tokens each row has taken in."""

    def select(self, rows: Tensor) -> Self:
        """Return the state whose row i is this one's row ``rows[i]``.

        rows: (R',) int64; a row may come several times (beams move) or not at all (finished rows leave).
        """
        ...

    def join(self, other: Self) -> Self:
        """Return the state with ``other``'s rows behind this one's: sentences enter while others are in mid-decode."""
        ...


State = TypeVar("State", bound=DecoderState)


class Seq2Seq(Protocol[State]):
    """A sequence-to-sequence model, seen by training, decoding and inspection."""

    vocabulary_size: int
    """V: number of target tokens."""
    max_positions: int
    """The longest sequence, in tokens, that either side may have."""

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the matrix of ``project``, so that a loss can be fused with it."""
        ...

    @property
    def output_bias(self) -> Tensor | None:
        """(V,): what ``project`` adds, if anything."""
        ...

    def encode(self, src: Tensor, src_mask: Tensor) -> Memory:
        """Read N sentences, once each. src: (N, S) ids; src_mask: (N, S) bool, True where a token is."""
        ...

    def start(self, memory: Memory, max_length: int, rows_per_sentence: int = 1) -> State:
        """Return a state of N * rows_per_sentence rows, a sentence's together, with room for max_length tokens."""
        ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Take in tokens and go on; the given state must not be used again.

        tokens: (R, n) ids, n = 1 for a step or more for a whole prefix.
        Returns hidden vectors (R, n, D) and the new state.
        """
        ...

    def forward(self, batch: Batch) -> Tensor:
        """Teacher forcing: return hidden vectors (B, T, D) for every target position at once."""
        ...

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of hidden (..., D), or (..., C) over ``candidates`` (C,) token ids."""
        ...


class MaskedLanguageModel(Protocol):
    """An encoder-only model that foretells hidden tokens."""

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the matrix of ``project``, so that a loss can be fused with it."""
        ...

    @property
    def output_bias(self) -> Tensor | None:
        """(V,): what ``project`` adds, if anything."""
        ...

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Read N texts. ids: (N, S); mask: (N, S) bool, True where a token is; segments: (N, S), 0 where not given."""
        ...

    def transform(self, hidden: Tensor) -> Tensor:
        """Return what is projected, (..., D) -> (..., D)."""
        ...

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of what ``transform`` gave, or (..., C) over ``candidates`` (C,) token ids."""
        ...


class LanguageModel(Protocol[State]):
    """A decoder-only model: a decoder of ``Seq2Seq`` without a memory."""

    vocabulary_size: int
    max_positions: int

    @property
    def output_weight(self) -> Tensor:
        """(V, D): the matrix of ``project``, so that a loss can be fused with it."""
        ...

    def __call__(self, ids: Tensor) -> Tensor:
        """Teacher forcing: return hidden vectors (B, T, D) for every place of ids (B, T) at once."""
        ...

    def start(self, rows: int, max_length: int) -> State:
        """Return a state of so many rows with room for max_length tokens each."""
        ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Take in tokens (R, n) and go on; the given state must not be used again."""
        ...

    def project(self, hidden: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return logits (..., V) of hidden (..., D), or (..., C) over ``candidates`` (C,) token ids."""
        ...
