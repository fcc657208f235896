"""Subword regularisation: words cut into other tokens in every epoch, so that a model learns what they consist of."""

from __future__ import annotations

import numpy as np

from clearhead.data.randomness import derive_seed

NEVER = np.uint64(2**64 - 1)
"""The key of a token that is not split: a key is below a threshold that is at most this."""


class SubwordDropout:
    """Splits tokens at random into the two that they consist of, and those again.

    After BPE-dropout (Provilkov et al. 2020), which leaves out merges while a text is cut. Departure: what a text was
    cut into is split further, which needs the tokens alone and not the text; so a token never crosses a place where
    the whole cut has none. What is split is a function of (seed, epoch, the row's number, the token's place).

    Args:
        parts: (V, 2) the two tokens that each consists of, or -1; see ``text.subwords.parts_of_tokens``.
        probability: of a split, for each token and each of its parts.
        seed: the run's seed.
        longest: a row that would have more tokens stays as it is.
    """

    def __init__(self, parts: np.ndarray, probability: float, seed: int, longest: int) -> None:
        self.parts = parts
        self.threshold = np.uint64(min(int(probability * 2.0**64), int(NEVER)))
        self.seed = seed
        self.longest = longest

    def __call__(
        self, ids: np.ndarray, lengths: np.ndarray, numbers: np.ndarray, epoch: int, side: str, pad_id: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows (B, S) split anew, (B, S'), their lengths (B,), and the column that each token comes from.

        Args:
            ids: padded at the end; tokens that are not text consist of nothing and so stay.
            lengths: (B,) tokens of each row.
            numbers: (B,) the rows' numbers in their corpus.
            side: "src" or "tgt": which text of its row it is.
            pad_id: written behind each row's end.
        """
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        row, column = np.nonzero(mask)
        key = np.uint64(derive_seed(self.seed, f"subwords-{side}", epoch))
        keys = _mixed(_mixed(key + numbers.astype(np.uint64))[row] + column.astype(np.uint64))
        pieces, origins = self._split(ids[mask], keys)
        after = np.bincount(row[origins], minlength=len(ids))
        if (after > self.longest).any():
            keys[after[row] > self.longest] = NEVER
            pieces, origins = self._split(ids[mask], keys)
            after = np.bincount(row[origins], minlength=len(ids))
        out_mask = np.arange(after.max(initial=0)) < after[:, None]
        out, columns = np.full(out_mask.shape, pad_id, ids.dtype), np.zeros(out_mask.shape, np.int64)
        out[out_mask], columns[out_mask] = pieces, column[origins]
        return out, after.astype(lengths.dtype), columns

    def _split(self, tokens: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what each of ``tokens`` (N,) is split into, and of each piece the token that it comes from."""
        origins = np.arange(len(tokens))
        while True:
            split = (self.parts[tokens, 0] >= 0) & (keys < self.threshold)
            if not split.any():
                return tokens, origins
            twice = np.repeat(np.arange(len(tokens)), 1 + split)
            second = np.diff(twice, prepend=-1) == 0
            halves = self.parts[tokens[twice], second.astype(np.int64)]
            parted = split[twice]
            again = _mixed(keys[twice] + second.astype(np.uint64))  # a part is asked anew
            tokens, origins = np.where(parted, halves, tokens[twice]), origins[twice]
            keys = np.where(parted, again, keys[twice])


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Return keys (uint64) whose bits are as good as random (SplitMix64's finaliser, Steele et al. 2014)."""
    keys = (keys + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
