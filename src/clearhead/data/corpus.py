"""The pairs that a run is trained and validated on: several token stores seen as one, filtered, tagged and weighted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

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


class Mixture:
    """Rows of several parts seen as one, numbered from 0, part after part; each part is drawn by its weight.

    Args:
        counts: how many rows each part gives; all its pairs, but for texts that are packed.

    src_lengths, tgt_lengths: (len,) int32 tokens of each row as a model sees them; set by the kind of corpus.
    """

    src_lengths: np.ndarray
    tgt_lengths: np.ndarray
    cut: int = 0
    """How many rows were cut to what a row may have."""

    def __init__(self, parts: Sequence[Part], counts: Sequence[int]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *counts])
        """(parts + 1,): row i belongs to part p where starts[p] <= i < starts[p + 1]."""

    def __len__(self) -> int:
        return int(self.starts[-1])

    def owner(self, i: int) -> tuple[Part, int]:
        """Return the part that row ``i`` belongs to, and its number in it."""
        p = int(np.searchsorted(self.starts, i, side="right")) - 1
        return self.parts[p], int(i - self.starts[p])

    def origins(self, indexes: np.ndarray) -> tuple[str, ...]:
        """Return where rows come from, to a reader: "2:17" is the 17th pair read from the second source.

        Where nothing was dropped on reading, that is its line (with a header, the line after it).
        """
        owner = np.searchsorted(self.starts, indexes, side="right") - 1
        return tuple(f"{p + 1}:{self._number(p, int(i - self.starts[p])) + 1}" for p, i in zip(owner, indexes))

    def draws(self, seed: int, epoch: int) -> np.ndarray:
        """Return the rows that epoch ``epoch`` consists of, by weight, in no particular order: int64 indexes.

        A part with weight 2 comes twice whole. The fraction of a weight is a window that moves on from epoch to epoch
        over one shuffled circle of the part's rows, so that with 0.5 every row comes in every second epoch.
        """
        drawn = [np.zeros(0, np.int64)]
        for number, part in enumerate(self.parts):
            start, n, whole = self.starts[number], int(np.diff(self.starts)[number]), int(part.weight)
            drawn += [np.arange(start, start + n)] * whole
            share = (part.weight - whole) * n
            window = np.arange(int(epoch * share), int((epoch + 1) * share))
            if len(window):
                drawn.append(generator(seed, "weight", number).permutation(n)[window % n] + start)
        return np.concatenate(drawn)

    def by_part(self, indexes: np.ndarray) -> Iterator[tuple[Part, np.ndarray, np.ndarray]]:
        """Yield each part that the rows touch, at which places of ``indexes``, and their numbers in it."""
        owner = np.searchsorted(self.starts, indexes, side="right") - 1
        for p in np.unique(owner):
            places = np.flatnonzero(owner == p)
            yield self.parts[p], places, indexes[places] - self.starts[p]

    def _number(self, part: int, row: int) -> int:
        """Which pair of its source a part's row is, or begins in."""
        return int(self.parts[part].rows[row])


class ParallelCorpus(Mixture):
    """Pairs of sentences; their tokens stay on disk until a batch asks for them.

    src_lengths, tgt_lengths: with eos and the source's tag.
    """

    def __init__(self, parts: Sequence[Part], src_eos_id: int, tgt_eos_id: int) -> None:
        super().__init__(parts, [len(part.rows) for part in parts])
        self.src_eos_id = src_eos_id
        self.tgt_eos_id = tgt_eos_id
        nothing = [np.zeros(0, np.int32)]
        self.src_lengths = np.concatenate(
            nothing + [_src_lengths(part.store, part.tag_id)[part.rows] for part in parts]
        )
        self.tgt_lengths = np.concatenate(nothing + [_tgt_lengths(part.store)[part.rows] for part in parts])

    def pair(self, i: int) -> tuple[list[int], list[int]]:
        """Return pair ``i``'s source and target token ids, each ending in eos, the source starting with its tag."""
        part, number = self.owner(i)
        row = part.rows[number]
        tag = [] if part.tag_id is None else [part.tag_id]
        src, tgt = part.store.src[row].tolist(), part.store.tgt[row].tolist()
        return [*tag, *src, self.src_eos_id], [*tgt, self.tgt_eos_id]

    def text(self, tokenizers: TokenizerPair, limit: int | None = None) -> list[tuple[str, str]]:
        """Return the first ``limit`` pairs as NFC text without tags, in the corpus' order."""
        pairs = [self.pair(i) for i in range(len(self))[:limit]]
        sources = tokenizers.src.decode_batch([src for src, _ in pairs])
        return list(zip(sources, tokenizers.tgt.decode_batch([tgt for _, tgt in pairs])))

    def tags(self, tokenizers: TokenizerPair, limit: int | None = None) -> list[str]:
        """Return the language tag's name of each of the first ``limit`` pairs, "" where it has none."""
        tags = [
            "" if part.tag_id is None else tokenizers.src.token_text(part.tag_id)[1:-1]
            for part in self.parts
            for _ in part.rows
        ]
        return tags[:limit]

    def src_rows(self, indexes: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' source ids (B, S) int64, ``pad_id`` after each row's end, and their lengths (B,)."""
        lengths = self.src_lengths[indexes]
        out = np.full((len(indexes), lengths.max(initial=0)), pad_id, np.int64)
        for part, places, numbers in self.by_part(indexes):
            first = 0 if part.tag_id is None else 1
            out[places, :first] = part.tag_id or 0
            fill(out, places, np.full(len(places), first), part.store.src, part.rows[numbers])
        out[np.arange(len(indexes)), lengths - 1] = self.src_eos_id
        return out, lengths

    def tgt_rows(self, indexes: np.ndarray, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs' target ids (B, T) int64, ``pad_id`` after each row's end, and their lengths (B,)."""
        lengths = self.tgt_lengths[indexes]
        out = np.full((len(indexes), lengths.max(initial=0)), pad_id, np.int64)
        for part, places, numbers in self.by_part(indexes):
            fill(out, places, np.zeros(len(places), np.int64), part.store.tgt, part.rows[numbers])
        out[np.arange(len(indexes)), lengths - 1] = self.tgt_eos_id
        return out, lengths


def fill(
    out: np.ndarray,
    places: np.ndarray,
    first: np.ndarray,
    sentences: Sentences,
    rows: np.ndarray,
    keep: np.ndarray | None = None,
) -> None:
    """Write each sentence ``rows[k]`` into ``out[places[k], first[k]:]``, of it ``keep[k]`` tokens or all."""
    begins = sentences.offsets[rows]
    lengths = sentences.offsets[rows + 1] - begins if keep is None else keep
    row = np.repeat(np.arange(len(rows)), lengths)  # (total,): which sentence each token belongs to
    column = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[places[row], first[row] + column] = sentences.tokens[begins[row] + column]


def _src_lengths(store: TokenStore, tag_id: int | None) -> np.ndarray:
    return store.src.lengths() + np.int32(1 if tag_id is None else 2)


def _tgt_lengths(store: TokenStore) -> np.ndarray:
    return store.tgt.lengths() + np.int32(1)


# --- opening what a config names ----------------------------------------------------------------------------------


C = TypeVar("C", bound=Mixture, covariant=True)


@dataclass(frozen=True)
class Corpora(Generic[C]):
    """A run's two corpora and what became of every line.

    lost: the training sources' lines; its ``kept`` is the training pairs and the ``held_out`` ones together.
    valid_lost: the validation sources' lines; empty where the validation pairs were held out of training.
    """

    train: C
    valid: C
    lost: LostPairs
    valid_lost: LostPairs
    held_out: int
    tokenizers: TokenizerPair


@dataclass(frozen=True)
class Layout(Generic[C]):
    """How a task lays out what its sources give.

    part: what is taken of a source's tokens, and how many pairs were dropped for which reason.
    corpus: a corpus of such parts.
    labels: those that texts may have, where they must have one.
    """

    part: Callable[[TokenStore, Source], tuple[Part, dict[str, int]]]
    corpus: Callable[[list[Part]], C]
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Opener:
    """Opens sources, tokenising what ``cache`` does not hold; ``on_progress`` is told."""

    config: DataConfig
    tokenizers: TokenizerPair
    cache: Path
    seed: int
    on_progress: Progress | None = None

    def corpora(self, train: Layout[C], valid: Layout[C]) -> Corpora[C]:
        """Open the training and validation corpora.

        Where ``config.valid`` is empty, ``holdout`` pairs, a twentieth at most, spread evenly over the corpus and
        chosen by ``seed`` alone, are taken out of training.

        Raises:
            CorpusError: a source is wrong, no pair is left to train on or to validate on.
            MachineError: the cache cannot be written.
        """
        parts, lost = self._parts(self.config.sources, train)
        if self.config.valid:
            held, valid_lost = self._parts(self.config.valid, valid)
            held, held_out = [replace(part, weight=1.0) for part in held], 0
        else:
            parts, held, held_out = _hold_out(parts, self.config.holdout, self.seed)
            valid_lost = LostPairs()
        return Corpora(train.corpus(parts), valid.corpus(held), lost, valid_lost, held_out, self.tokenizers)

    def _parts(self, sources: Sequence[Source], layout: Layout[C]) -> tuple[list[Part], LostPairs]:
        config, parts, lost = self.config, [], LostPairs()
        for source in sources:
            told = self.on_progress and partial(self.on_progress, source)
            store = open_store(
                source, config.root, config.skip_bad_lines, self.tokenizers, self.cache, told, layout.labels
            )
            part, dropped = layout.part(store, source)
            parts.append(part)
            lost += _with_dropped(store.lost, dropped)
        if not sum(len(part.rows) for part in parts):
            raise CorpusError("no-pairs-left", lost=lost.line())
        return parts, lost


def open_corpora(
    config: DataConfig, tokenizers: TokenizerPair, cache: Path, seed: int, on_progress: Progress | None = None
) -> Corpora[ParallelCorpus]:
    """Open the parallel corpora of ``config``; see ``Opener``.

    Validation pairs are dropped where longer than ``max_tokens`` (a model could not take them), never for their ratio.
    """

    def layout(max_ratio: float) -> Layout[ParallelCorpus]:
        def part(store: TokenStore, source: Source) -> tuple[Part, dict[str, int]]:
            tag_id = tokenizers.src.tag_id(source.tag) if source.tag else None
            return _filter(store, tag_id, source.weight, config.max_tokens, max_ratio)

        eos = tokenizers.src.eos_id, tokenizers.tgt.eos_id
        return Layout(part, lambda parts: ParallelCorpus(parts, *eos))

    return Opener(config, tokenizers, cache, seed, on_progress).corpora(layout(config.max_ratio), layout(0.0))


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
