"""What a masked language model is asked: some tokens of each text are hidden, and which ones changes with the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clearhead.data.randomness import generator
from clearhead.data.texts import TextBatch

SHARE = 0.15
"""Of a text's tokens so many are to be foretold."""
HIDDEN, REPLACED = 0.8, 0.1
"""Of those so many become the mask and so many another token; the rest stays as it is."""


@dataclass(frozen=True)
class MaskedBatch:
    """Texts with hidden tokens.

    ids: (B, S) what the model sees; mask, segments: as in ``TextBatch``.
    asked: (B, S) bool, True where a token is to be foretold; targets: (N,) those tokens, row by row.
    """

    ids: Tensor
    mask: Tensor
    segments: Tensor
    asked: Tensor
    targets: Tensor

    def to(self, device: torch.device | str) -> MaskedBatch:
        """Return the batch on ``device``."""
        return MaskedBatch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def asked_counts(lengths: np.ndarray) -> np.ndarray:
    """Return how many tokens are asked of texts with so many (N,), bos and eos not counted: at least one of each."""
    return np.maximum(1, np.rint(SHARE * lengths)).astype(np.int64) * (lengths > 0)


class Masker:
    """Hides tokens as BERT does (Devlin et al. 2019, section 3.1, appendix A.1), anew in every epoch (Liu et al. 2019).

    15 % of a text's tokens are chosen; 80 % of these become the mask, 10 % any ordinary token, 10 % stay. What is
    chosen is a function of (seed, epoch, the text's number). Departure: the number chosen is exact, not drawn.

    Args:
        mask_id: the token that hides one.
        ordinary: those that may stand in for one.
        special: those that are never chosen: bos, eos, pad.
        begins_word: (V,) bool; given where whole words are to be chosen. A word that is longer than what is left to
            choose is passed over; where none fits, its first tokens are chosen.
    """

    def __init__(
        self,
        seed: int,
        mask_id: int,
        ordinary: range,
        special: Sequence[int],
        begins_word: np.ndarray | None = None,
    ) -> None:
        self.seed = seed
        self.mask_id = mask_id
        self.ordinary = ordinary
        self.special = list(special)
        self.begins_word = begins_word

    def __call__(self, batch: TextBatch, numbers: np.ndarray, epoch: int) -> MaskedBatch:
        """Return the texts with hidden tokens; ``numbers`` (B,) are theirs in their corpus."""
        ids = batch.ids.numpy().copy()
        asked = np.zeros(ids.shape, bool)
        free = batch.mask.numpy() & ~np.isin(ids, self.special)
        for row, number in enumerate(numbers):
            draw = generator(self.seed, "mask", epoch, number)
            places = np.flatnonzero(free[row])
            chosen = self._choose(ids[row], places, draw)
            asked[row, chosen] = True
            fate = draw.random(len(chosen))
            other = draw.integers(self.ordinary.start, self.ordinary.stop, len(chosen))
            seen = np.where(fate < HIDDEN + REPLACED, other, ids[row, chosen])
            ids[row, chosen] = np.where(fate < HIDDEN, self.mask_id, seen)
        asked_tensor = torch.from_numpy(asked)
        return MaskedBatch(torch.from_numpy(ids), batch.mask, batch.segments, asked_tensor, batch.ids[asked_tensor])

    def _choose(self, ids: np.ndarray, places: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """Return the chosen ones of ``places``, rising."""
        wanted = int(asked_counts(np.array([len(places)]))[0])
        if self.begins_word is None:
            return np.sort(draw.choice(places, wanted, replace=False))
        begins = self.begins_word[ids[places]] | (np.diff(places, prepend=-2) > 1)
        words = np.split(places, np.flatnonzero(begins)[1:])
        chosen: list[int] = []
        passed_over: list[int] = []
        for word in draw.permutation(len(words)):
            fits = len(words[word]) <= wanted - len(chosen)
            (chosen if fits else passed_over).extend(words[word])
        return np.sort(np.array(chosen + passed_over[: wanted - len(chosen)], np.int64))
