"""The pairs that a run is trained and validated on: several token stores seen as one, filtered, tagged and weighted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clearhead.config import DataConfig, Source
from clearhead.data.randomness import generator
from clearhead.data.store import Sentences, TokenStore, open_store
from clearhead.errors import CorpusError
from clearhead.text.corpus import LostPairs
from clearhead.text.tokenizer import TokenizerPair

Progress = Callable[[Source, int], None]
"""Told which source is being tokenised and how many of its pairs are done."""


@dataclass(frozen=True)
class Part:
    """What a corpus takes from one store.

    rows: (n,) the store's pairs that belong to it.
    weight: how often each is drawn in an epoch (a validation corpus has each pair once).
    tag_id: the token put in front of each source sentence, or None.
    """

    store: TokenStore
    rows: np.ndarray
    weight: float = 1.0
    tag_id: int | None = None


class ParallelCorpus:
    """Pairs numbered from 0, part after part; their tokens stay on disk until a batch asks for them.

    src_lengths, tgt_lengths: (len,) int32 tokens of each side as the model sees it: with eos and the source's tag.
    """

    def __init__(self, parts: Sequence[Part], src_eos_id: int, tgt_eos_id: int) -> None:
        self.parts = tuple(parts)
        self.src_eos_id = src_eos_id
        self.tgt_eos_id = tgt_eos_id
        self.starts = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        """(parts + 1,): pair i belongs to part p where starts[p] <= i < starts[p + 1]."""
        nothing = [np.zeros(0, np.int32)]
        self.src_lengths = np.concatenate(
            nothing + [_src_lengths(part.store, part.tag_id)[part.rows] for part in parts]
        )
        self.tgt_lengths = np.concatenate(nothing + [_tgt_lengths(part.store)[part.rows] for part in parts])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def pair(self, i: int) -> tuple[list[int], list[int]]:
        """Return pair ``i``'s source and target token ids, each ending in eos, the source starting with its tag."""
        p = int(np.searchsorted(self.starts, i, side="right")) - 1
        part = self.parts[p]
        row = part.rows[i - self.starts[p]]
        tag = [] if part.tag_id is None else [part.tag_id]
        src, tgt = part.store.src[row].tolist(), part.store.tgt[row].tolist()
        return [*tag, *src, self.src_eos_id], [*tgt, self.tgt_eos_id]

    def origins(self, indexes: np.ndarray) -> tuple[str, ...]:
        """Return where pairs come from, to a reader: "2:17" is the 17th pair read from the second source.

        Where nothing was dropped on reading, that is its line (with a header, the line after it).
        """
        owner = np.searchsorted(self.starts, indexes, side="right") - 1
        return tuple(f"{p + 1}:{self.parts[p].rows[i - self.starts[p]] + 1}" for p, i in zip(owner, indexes))

    def src_rows(self, indexes: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' source ids (B, S) int64, ``pad_id`` after each row's end, and their lengths (B,)."""
        lengths = self.src_lengths[indexes]
        out = np.full((len(indexes), lengths.max(initial=0)), pad_id, np.int64)
        for part, places, rows in self._by_part(indexes):
            first = 0 if part.tag_id is None else 1
            out[places, :first] = part.tag_id or 0
            _fill(out, places, first, part.store.src, rows)
        out[np.arange(len(indexes)), lengths - 1] = self.src_eos_id
        return out, lengths

    def tgt_rows(self, indexes: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' target ids (B, T) int64, ``pad_id`` after each row's end, and their lengths (B,)."""
        lengths = self.tgt_lengths[indexes]
        out = np.full((len(indexes), lengths.max(initial=0)), pad_id, np.int64)
        for part, places, rows in self._by_part(indexes):
            _fill(out, places, 0, part.store.tgt, rows)
        out[np.arange(len(indexes)), lengths - 1] = self.tgt_eos_id
        return out, lengths

    def draws(self, seed: int, epoch: int) -> np.ndarray:
        """Return the pairs that epoch ``epoch`` consists of, by weight, in no particular order: int64 indexes.

        A part with weight 2 comes twice whole. The fraction of a weight is a window that moves on from epoch to epoch
        over one shuffled circle of the part's pairs, so that with 0.5 every pair comes in every second epoch.
        """
        drawn = [np.zeros(0, np.int64)]
        for number, (part, start) in enumerate(zip(self.parts, self.starts)):
            n, whole = len(part.rows), int(part.weight)
            drawn += [np.arange(start, start + n)] * whole
            share = (part.weight - whole) * n
            window = np.arange(int(epoch * share), int((epoch + 1) * share))
            if len(window):
                drawn.append(generator(seed, "weight", number).permutation(n)[window % n] + start)
        return np.concatenate(drawn)

    def _by_part(self, indexes: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
        """Yield each part that the pairs touch, at which places of ``indexes``, and their rows in its store."""
        owner = np.searchsorted(self.starts, indexes, side="right") - 1
        for p in np.unique(owner):
            places = np.flatnonzero(owner == p)
            yield self.parts[p], places, self.parts[p].rows[indexes[places] - self.starts[p]]


def _fill(out: np.ndarray, places: np.ndarray, first: int, sentences: Sentences, rows: np.ndarray) -> None:
    """Write each sentence ``rows[k]`` into ``out[places[k], first:]``."""
    begins, ends = sentences.offsets[rows], sentences.offsets[rows + 1]
    total = int((ends - begins).sum())
    row = np.repeat(np.arange(len(rows)), ends - begins)  # (total,): which sentence each token belongs to
    column = np.arange(total) - np.repeat(np.cumsum(ends - begins) - (ends - begins), ends - begins)
    out[places[row], first + column] = sentences.tokens[begins[row] + column]


def _src_lengths(store: TokenStore, tag_id: int | None) -> np.ndarray:
    return store.src.lengths() + np.int32(1 if tag_id is None else 2)


def _tgt_lengths(store: TokenStore) -> np.ndarray:
    return store.tgt.lengths() + np.int32(1)


# --- opening what a config names ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpora:
    """A run's two corpora and what became of every line.

    lost: the training sources' lines; its ``kept`` is the training pairs and the ``held_out`` ones together.
    valid_lost: the validation sources' lines; empty where the validation pairs were held out of training.
    """

    train: ParallelCorpus
    valid: ParallelCorpus
    lost: LostPairs
    valid_lost: LostPairs
    held_out: int
    tokenizers: TokenizerPair

    def valid_text(self, limit: int | None = None) -> list[tuple[str, str]]:
        """Return the first ``limit`` validation pairs as NFC text without tags, in the corpus' order."""
        pairs = [self.valid.pair(i) for i in range(len(self.valid))[:limit]]
        sources = self.tokenizers.src.decode_batch([src for src, _ in pairs])
        return list(zip(sources, self.tokenizers.tgt.decode_batch([tgt for _, tgt in pairs])))

    def valid_tags(self, limit: int | None = None) -> list[str]:
        """Return the language tag's name of each of the first ``limit`` validation pairs, "" where it has none."""
        tags = [
            "" if part.tag_id is None else self.tokenizers.src.token_text(part.tag_id)[1:-1]
            for part in self.valid.parts
            for _ in part.rows
        ]
        return tags[:limit]


def open_corpora(
    config: DataConfig, tokenizers: TokenizerPair, cache: Path, seed: int, on_progress: Progress | None = None
) -> Corpora:
    """Open the training and validation corpora of ``config``, tokenising what ``cache`` does not hold.

    Validation pairs are dropped where longer than ``max_tokens`` (a model could not take them), never for their ratio.
    Where ``config.valid`` is empty, ``holdout`` pairs, a twentieth at most, spread evenly over the corpus and chosen by
    ``seed`` alone, are taken out of training.

    Raises:
        CorpusError: a source is wrong, no pair is left to train on or to validate on.
        MachineError: the cache cannot be written.
    """
    parts, lost = _open_parts(config.sources, config, config.max_ratio, tokenizers, cache, on_progress)
    if config.valid:
        valid, valid_lost = _open_parts(config.valid, config, 0.0, tokenizers, cache, on_progress)
        valid, held_out = [replace(part, weight=1.0) for part in valid], 0
    else:
        parts, valid, held_out = _hold_out(parts, config.holdout, seed)
        valid_lost = LostPairs()
    eos = tokenizers.src.eos_id, tokenizers.tgt.eos_id
    return Corpora(ParallelCorpus(parts, *eos), ParallelCorpus(valid, *eos), lost, valid_lost, held_out, tokenizers)


def _open_parts(
    sources: Sequence[Source],
    config: DataConfig,
    max_ratio: float,
    tokenizers: TokenizerPair,
    cache: Path,
    on_progress: Progress | None,
) -> tuple[list[Part], LostPairs]:
    parts, lost = [], LostPairs()
    for source in sources:
        told = None if on_progress is None else (lambda done, source=source: on_progress(source, done))
        store = open_store(source, config.root, config.skip_bad_lines, tokenizers, cache, told)
        tag_id = tokenizers.src.tag_id(source.tag) if source.tag else None
        part, dropped = _filter(store, tag_id, source.weight, config.max_tokens, max_ratio)
        parts.append(part)
        lost += _with_dropped(store.lost, dropped)
    if not sum(len(part.rows) for part in parts):
        raise CorpusError("no-pairs-left", lost=lost.line())
    return parts, lost


def _filter(
    store: TokenStore, tag_id: int | None, weight: float, max_tokens: int, max_ratio: float
) -> tuple[Part, dict[str, int]]:
    """Return the pairs to keep and how many were dropped for which reason (each pair for the first that applies).

    ``max_tokens`` counts what the model sees, eos and tag included; ``max_ratio`` counts the text's tokens alone.
    """
    too_long = np.maximum(_src_lengths(store, tag_id), _tgt_lengths(store)) > max_tokens
    src, tgt = store.src.lengths(), store.tgt.lengths()
    uneven = ~too_long & (max_ratio > 0) & (np.maximum(src, tgt) > max_ratio * np.minimum(src, tgt))
    rows = np.flatnonzero(~(too_long | uneven))
    return Part(store, rows, weight, tag_id), {"too-long": int(too_long.sum()), "ratio": int(uneven.sum())}


def _with_dropped(lost: LostPairs, dropped: dict[str, int]) -> LostPairs:
    counts = {reason: count for reason, count in dropped.items() if count}
    return LostPairs(lost.lines, lost.kept - sum(counts.values()), lost.dropped + Counter(counts))


def _hold_out(parts: list[Part], holdout: int, seed: int) -> tuple[list[Part], list[Part], int]:
    """Split the parts into training and validation: one pair chosen out of each of equal stretches of the corpus."""
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    count = min(holdout, int(starts[-1]) // 20)
    if not count:
        raise CorpusError("no-validation-pairs", pairs=int(starts[-1]))
    edges = np.arange(count + 1) * starts[-1] // count
    held = np.zeros(starts[-1], bool)
    held[generator(seed, "holdout").integers(edges[:-1], edges[1:])] = True
    masks = [held[start : start + len(part.rows)] for part, start in zip(parts, starts)]
    train = [replace(part, rows=part.rows[~mask]) for part, mask in zip(parts, masks)]
    valid = [replace(part, rows=part.rows[mask], weight=1.0) for part, mask in zip(parts, masks)]
    return train, valid, count
