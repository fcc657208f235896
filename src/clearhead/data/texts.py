"""Corpora of single texts: with labels or without, one text a row, or packed into blocks of equal length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clearhead.config import DataConfig, Source
from clearhead.data.corpus import Corpora, Layout, Mixture, Opener, Part, Progress, fill
from clearhead.data.store import TokenStore
from clearhead.data.subwords import SubwordDropout
from clearhead.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class TextBatch:
    """Texts, padded at the end of each row.

    ids: (B, S) token ids: bos, the text, eos (twice in some models), and where texts come in twos the second one, eos.
    mask: (B, S) bool, True where a token is.
    segments: (B, S) int64, 1 from the second text on, else 0.
    labels: (B,) int64; -1 where texts have none.
    """

    ids: Tensor
    mask: Tensor
    segments: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> TextBatch:
        """Return the batch on ``device``."""
        return TextBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))

    def with_subwords(self, dropout: SubwordDropout, numbers: np.ndarray, epoch: int, pad_id: int) -> TextBatch:
        """Return the texts, whose ``numbers`` (B,) in their corpus are given, with their words cut as in ``epoch``."""
        lengths = self.mask.sum(dim=1).numpy()
        ids, lengths, columns = dropout(self.ids.numpy(), lengths, numbers, epoch, "src", pad_id)
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        segments = np.take_along_axis(self.segments.numpy(), columns, axis=1) * mask
        return TextBatch(*map(torch.from_numpy, (ids, mask, segments, self.labels.numpy())))


class TextCorpus(Mixture):
    """Texts, each a row by itself, cut where longer than ``max_tokens``.

    src_lengths, tgt_lengths: one and the same: a row's tokens with bos and eos.

    Args:
        separators: how many eos stand between two texts.
    """

    def __init__(self, parts: Sequence[Part], bos_id: int, eos_id: int, max_tokens: int, separators: int = 1) -> None:
        super().__init__(parts, [len(part.rows) for part in parts])
        self.bos_id = bos_id
        self.eos_id = eos_id
        nothing = np.zeros((2, 0), np.int64)
        whole = np.concatenate([nothing, *(_lengths(part) for part in parts)], axis=1)
        self.first, self.second = whole
        self.between = separators * (self.second > 0)
        self.first, self.second = fitted(self.first, self.second, max_tokens - 2 - self.between)
        self.cut = int((self.first + self.second < whole.sum(axis=0)).sum())
        self.src_lengths = (self.first + self.second + 2 + self.between).astype(np.int32)
        self.tgt_lengths = self.src_lengths

    def batch(self, indexes: np.ndarray, pad_id: int) -> TextBatch:
        """Return the texts ``indexes`` (B,) in that order."""
        lengths, first, second = self.src_lengths[indexes], self.first[indexes], self.second[indexes]
        begin = first + np.maximum(self.between[indexes], 1) + 1  # where a second text begins
        columns = np.arange(lengths.max(initial=0))
        ids = np.full((len(indexes), len(columns)), pad_id, np.int64)
        labels = np.full(len(indexes), -1, np.int64)
        ids[:, :1] = self.bos_id
        for part, places, numbers in self.by_part(indexes):
            store, rows, ones = part.store, part.rows[numbers], np.ones(len(places), np.int64)
            fill(ids, places, ones, store.src, rows, first[places])
            fill(ids, places, begin[places], store.tgt, rows, second[places])
            if store.labels is not None:
                labels[places] = store.labels[rows]
        ids[(columns > first[:, None]) & (columns < begin[:, None])] = self.eos_id
        ids[np.arange(len(indexes)), lengths - 1] = self.eos_id
        mask = columns < lengths[:, None]
        segments = mask & (columns >= begin[:, None])
        return TextBatch(*map(torch.from_numpy, (ids, mask, segments.astype(np.int64), labels)))

    def text_ids(self, i: int) -> list[int]:
        """Return the tokens of text ``i``, and of its second one behind an eos, as far as they are kept."""
        part, number = self.owner(i)
        row = part.rows[number]
        first, second = part.store.src[row][: self.first[i]], part.store.tgt[row][: self.second[i]]
        return [*first.tolist(), *[self.eos_id] * int(self.between[i]), *second.tolist()]

    def labels(self) -> np.ndarray:
        """Return every text's label, (len,) int32."""
        nothing = np.zeros(0, np.int32)
        stores = ((part.store.labels, part.rows) for part in self.parts)
        return np.concatenate([nothing, *(nothing if labels is None else labels[rows] for labels, rows in stores)])


class PackedCorpus(Mixture):
    """Texts one after the other, each between two eos, cut into blocks without regard to where a text ends.

    Block i of a part is what stands from token i * block on, and what is to be foretold is that one token later. So
    every token but the first eos is foretold exactly once in an epoch, from what stands before it in its block.
    """

    def __init__(self, parts: Sequence[Part], eos_id: int, block: int) -> None:
        self.eos_id = eos_id
        self.block = block
        self.ends = [np.cumsum(part.store.src.lengths()[part.rows].astype(np.int64) + 1) for part in parts]
        """Of each part: where each text's eos stands in the stream, which begins with an eos of its own at 0."""
        totals = [int(ends[-1]) if len(ends) else 0 for ends in self.ends]
        super().__init__(parts, [-(-total // block) for total in totals])
        lengths = [np.full(-(-total // block), block, np.int32) for total in totals]
        for each, total in zip(lengths, totals):
            if len(each):
                each[-1] = total - block * (len(each) - 1)
        self.src_lengths = np.concatenate([np.zeros(0, np.int32), *lengths])
        self.tgt_lengths = self.src_lengths

    def rows(self, indexes: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the blocks' tokens with the one that follows, (B, S + 1) int64, and how many are foretold (B,)."""
        lengths = self.src_lengths[indexes]
        out = np.full((len(indexes), lengths.max(initial=0) + 1), pad_id, np.int64)
        for place, index in enumerate(indexes):
            number = int(np.searchsorted(self.starts, index, side="right")) - 1
            begin = int(index - self.starts[number]) * self.block
            out[place, : lengths[place] + 1] = self._stream(number, begin, begin + int(lengths[place]) + 1)
        return out, lengths

    def tokens(self) -> Iterator[np.ndarray]:
        """Yield the tokens of every text, eos not among them."""
        for part in self.parts:
            for row in part.rows:
                yield part.store.src[row]

    def _stream(self, number: int, begin: int, end: int) -> np.ndarray:
        """Return tokens ``begin`` to ``end`` of a part's stream."""
        part, ends = self.parts[number], self.ends[number]
        first = int(np.searchsorted(ends, begin, side="left"))  # the text whose tokens or eos stand at begin
        last = int(np.searchsorted(ends, end - 1, side="left"))
        texts = [part.store.src[row] for row in part.rows[first : last + 1]]
        eos = np.array([self.eos_id])
        start = int(ends[first - 1]) if first else 0  # where the eos before the first of these texts stands
        stream = np.concatenate([piece for text in texts for piece in (eos, text)] + [eos])
        return stream[begin - start : end - start].astype(np.int64)

    def _number(self, part: int, row: int) -> int:
        text = int(np.searchsorted(self.ends[part], row * self.block, side="right"))
        return int(self.parts[part].rows[min(text, len(self.parts[part].rows) - 1)])


def open_texts(
    config: DataConfig,
    tokenizers: TokenizerPair,
    cache: Path,
    seed: int,
    on_progress: Progress | None = None,
    labels: Sequence[str] = (),
) -> Corpora[TextCorpus]:
    """Open the corpora of single texts that ``config`` names; see ``data.corpus.Opener``.

    labels: those that every text must have one of; none where labels do not matter.
    """
    tokenizer = tokenizers.src
    limit = config.max_tokens if config.long_texts == "drop" else 0

    def corpus(parts: list[Part]) -> TextCorpus:
        return TextCorpus(parts, tokenizer.bos_id, tokenizer.eos_id, config.max_tokens, tokenizer.separators)

    layout = Layout(lambda store, source: _texts(store, source, limit, tokenizer.separators), corpus, labels)
    return Opener(config, tokenizers, cache, seed, on_progress).corpora(layout, layout)


def open_packed(
    config: DataConfig, tokenizers: TokenizerPair, cache: Path, seed: int, on_progress: Progress | None = None
) -> Corpora[PackedCorpus]:
    """Open the corpora of single texts in blocks of ``config.max_tokens``; see ``data.corpus.Opener``."""

    def corpus(parts: list[Part]) -> PackedCorpus:
        return PackedCorpus(parts, tokenizers.src.eos_id, config.max_tokens)

    layout = Layout(lambda store, source: _texts(store, source, 0), corpus)
    return Opener(config, tokenizers, cache, seed, on_progress).corpora(layout, layout)


def fitted(first: np.ndarray, second: np.ndarray, room: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many tokens stay of two texts with so many each, where there is ``room`` for both together; (N,) all.

    Of two that are too long together, each gives up what it has beyond half of the room.
    """
    first = np.minimum(first, np.maximum(room - second, (room + 1) // 2))
    return first, np.minimum(second, room - first)


def _texts(store: TokenStore, source: Source, limit: int, separators: int = 1) -> tuple[Part, dict[str, int]]:
    """Return all texts, or those of at most ``limit`` tokens if that is not 0."""
    part = Part(store, np.arange(len(store)), source.weight)
    if not limit:
        return part, {}
    first, second = _lengths(part)
    fits = first + second + 2 + separators * (second > 0) <= limit
    return replace(part, rows=np.flatnonzero(fits)), Counter({"too-long": int((~fits).sum())})


def _lengths(part: Part) -> np.ndarray:
    """Return the tokens of each text and of its second one, (2, n) int64."""
    store = part.store
    return np.stack([store.src.lengths()[part.rows], store.tgt.lengths()[part.rows]]).astype(np.int64)
