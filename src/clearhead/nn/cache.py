"""Keys and values that decoding keeps: self-attention's grow at every step, cross-attention's are made once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clearhead.nn.masks import causal_mask


@dataclass(frozen=True)
class StepPlace:
    """Where the next n tokens of R rows go; made once a step and shared by all layers.

    positions: (R, n) places of the new tokens, counted from 0.
    common: the first place where it is the same for all rows (then a slice is written), else None.
    end: how many places are filled in the longest row after the step.
    mask: broadcastable to (R, H, n, end), True where a new token may attend; None for everywhere.
    """

    positions: Tensor
    common: int | None
    end: int
    mask: Tensor | None

    def banded(self, band: int) -> StepPlace:
        """Return the place with a mask that shows the last ``band`` positions only."""
        keys = torch.arange(self.end, device=self.positions.device)
        behind = self.positions[:, None, :, None] - keys  # (R, 1, n, end): how far a key lies behind
        return replace(self, mask=(behind >= 0) & (behind < band))

    @classmethod
    def after(cls, lengths: Tensor, common: int | None, n: int) -> StepPlace:
        """Return the place behind rows of ``lengths`` (R,), all of length ``common`` if that is not None."""
        positions = lengths[:, None] + torch.arange(n, device=lengths.device)
        if common is not None:
            mask = causal_mask(n, common, lengths.device) if n > 1 else None
            return cls(positions, common, common + n, mask)
        end = int(lengths.max()) + n
        mask = torch.arange(end, device=lengths.device) <= positions[:, None, :, None]  # (R, 1, n, end)
        return cls(positions, None, end, mask)


class SelfCache:
    """The keys and values of one layer's self-attention in R rows, in buffers with room for T positions.

    keys, values: (R, H, T, K); what lies behind a row's length has no meaning.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys = keys
        self.values = values

    def append(self, keys: Tensor, values: Tensor, place: StepPlace) -> tuple[Tensor, Tensor]:
        """Write keys and values (R, H, n, K) in place and return all so far, (R, H, end, K)."""
        for buffer, new in ((self.keys, keys), (self.values, values)):
            if place.common is not None:
                buffer[:, :, place.common : place.end] = new
            else:
                # Shorter rows see these places through their mask only, but zero times a leftover NaN is NaN.
                buffer[:, :, place.end - keys.shape[2] : place.end] = 0.0
                rows = torch.arange(len(buffer), device=buffer.device)[:, None]
                buffer[rows, :, place.positions] = new.transpose(1, 2).to(buffer.dtype)  # indexed: (R, n, H, K)
        return self.keys[:, :, : place.end], self.values[:, :, : place.end]

    def select(self, rows: Tensor, filled: int) -> SelfCache:
        """Return the cache of ``rows`` (R',); only the first ``filled`` positions are worth keeping."""
        return SelfCache(_select(self.keys, rows, filled), _select(self.values, rows, filled))

    def join(self, other: SelfCache, filled: int, other_filled: int) -> SelfCache:
        """Return the cache of this one's rows and then ``other``'s, with room for the longer of the two."""
        return SelfCache(
            _join(self.keys, other.keys, filled, other_filled), _join(self.values, other.values, filled, other_filled)
        )


def _select(buffer: Tensor, rows: Tensor, filled: int) -> Tensor:
    new = buffer.new_empty(len(rows), *buffer.shape[1:])
    new[:, :, :filled] = buffer[:, :, :filled].index_select(0, rows)
    return new


def _join(first: Tensor, second: Tensor, filled: int, second_filled: int) -> Tensor:
    _, heads, room, d_k = first.shape
    new = first.new_zeros(len(first) + len(second), heads, max(room, second.shape[2]), d_k)
    new[: len(first), :, :filled] = first[:, :, :filled]
    new[len(first) :, :, :second_filled] = second[:, :, :second_filled]
    return new


@dataclass
class Past:
    """What R rows have taken in so far: the self-attention caches of all layers and each row's length.

    Answers ``models.interface.DecoderState``; the whole state of a decoder that has no memory.

    lengths: (R,) tokens taken in by each row; common: that number where it is the same for all, else None.
    """

    lengths: Tensor
    common: int | None
    layers: list[SelfCache]

    @classmethod
    def empty(cls, rows: int, max_length: int, n_layers: int, like: Tensor) -> Past:
        """Return the past of ``rows`` rows that have taken in nothing, with room for max_length tokens each.

        like: (N, H, S, K) keys or values such as will come.
        """
        room = (rows, like.shape[1], max_length, like.shape[-1])
        layers = [SelfCache(like.new_zeros(room), like.new_zeros(room)) for _ in range(n_layers)]
        return cls(torch.zeros(rows, dtype=torch.int64, device=like.device), 0, layers)

    def place(self, n: int) -> StepPlace:
        """Return where the next n tokens go."""
        return StepPlace.after(self.lengths, self.common, n)

    def advance(self, n: int) -> None:
        """Count n tokens in, which the layers have taken."""
        self.lengths = self.lengths + n
        self.common = None if self.common is None else self.common + n

    def select(self, rows: Tensor) -> Past:
        """Return the past whose row i is this one's row rows[i]."""
        filled, lengths = self._filled(), self.lengths[rows]
        common = _common(lengths) if self.common is None else self.common
        return Past(lengths, common, [layer.select(rows, filled) for layer in self.layers])

    def join(self, other: Past) -> Past:
        """Return the past with other's rows behind this one's."""
        lengths = torch.cat([self.lengths, other.lengths])
        filled, other_filled = self._filled(), other._filled()
        layers = [a.join(b, filled, other_filled) for a, b in zip(self.layers, other.layers)]
        return Past(lengths, _common(lengths), layers)

    def _filled(self) -> int:
        if self.common is not None:
            return self.common
        return int(self.lengths.max()) if len(self.lengths) else 0


def _common(lengths: Tensor) -> int | None:
    if len(lengths) == 0:
        return 0
    low, high = (int(x) for x in lengths.aminmax())
    return low if low == high else None


class CrossCache:
    """The keys and values of one layer's cross-attention, kept once for each of N sentences."""

    def __init__(self, keys: Tensor, values: Tensor, mask: Tensor) -> None:
        self.keys = keys  # (N, H, S, K)
        self.values = values  # (N, H, S, K)
        self.mask = mask  # (N, 1, 1, S) bool

    def select(self, sentences: Tensor) -> CrossCache:
        """Return the cache of ``sentences`` (N',) only, or of each row's sentence."""
        return CrossCache(
            self.keys.index_select(0, sentences),
            self.values.index_select(0, sentences),
            self.mask.index_select(0, sentences),
        )

    def join(self, other: CrossCache) -> CrossCache:
        """Return the cache of this one's sentences and then ``other``'s, padded to the longer sources."""
        length = max(self.keys.shape[2], other.keys.shape[2])
        return CrossCache(
            torch.cat([_pad(self.keys, 2, length), _pad(other.keys, 2, length)]),
            torch.cat([_pad(self.values, 2, length), _pad(other.values, 2, length)]),
            torch.cat([_pad(self.mask, 3, length), _pad(other.mask, 3, length)]),
        )


@dataclass(frozen=True)
class Crosses:
    """What R rows attend to in N sentences: the cross-attention caches of all layers, and each row's sentence.

    sentence: (R,) which sentence of the caches each row belongs to.
    grouped: each sentence has equally many rows, lying together in the sentences' order, so that keys are read once.
    """

    layers: list[CrossCache]
    sentence: Tensor
    grouped: bool

    @classmethod
    def start(cls, layers: list[CrossCache], rows_per_sentence: int) -> Crosses:
        """Return what ``rows_per_sentence`` rows of each sentence attend to, a sentence's together."""
        sentences = torch.arange(len(layers[0].keys), device=layers[0].keys.device)
        return cls(layers, sentences.repeat_interleave(rows_per_sentence), True)

    def by_group(self) -> list[CrossCache]:
        """Return each layer's cache of the G groups that the rows fall into, R = G * W, a group's rows together."""
        return self.layers if self.grouped else [layer.select(self.sentence) for layer in self.layers]

    def select(self, rows: Tensor) -> Crosses:
        """Return what ``rows`` (R',) attend to; sentences without a row leave."""
        live, sentence = self.sentence[rows].unique(return_inverse=True)
        layers = self.layers
        if len(live) < len(layers[0].keys):
            layers = [layer.select(live) for layer in layers]
        return Crosses(layers, sentence, _is_grouped(sentence, len(live)))

    def join(self, other: Crosses) -> Crosses:
        """Return what this one's rows and then ``other``'s attend to."""
        layers = [a.join(b) for a, b in zip(self.layers, other.layers)]
        sentence = torch.cat([self.sentence, other.sentence + len(self.layers[0].keys)])
        return Crosses(layers, sentence, _is_grouped(sentence, len(layers[0].keys)))


def _is_grouped(sentence: Tensor, sentences: int) -> bool:
    if sentences == 0 or len(sentence) % sentences:
        return False
    expected = torch.arange(sentences, device=sentence.device).repeat_interleave(len(sentence) // sentences)
    return torch.equal(sentence, expected)


def _pad(x: Tensor, dim: int, length: int) -> Tensor:
    shape = list(x.shape)
    shape[dim] = length - shape[dim]
    return torch.cat([x, x.new_zeros(shape)], dim)
