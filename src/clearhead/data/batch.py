"""A batch of sentence pairs as tensors: what a model is taught with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from clearhead.data.corpus import ParallelCorpus
    from clearhead.data.subwords import SubwordDropout


@dataclass(frozen=True)
class Batch:
    """Teacher forcing's input, padded with ``pad_id`` at the end of each row.

    src: (B, S) token ids, each row ends in eos.
    src_mask: (B, S) bool, True where a token is.
    tgt_input: (B, T) token ids, each row starts with decoder_start_id.
    tgt_output: (B, T) token ids, ``tgt_input`` one place to the left, ends in eos.
    tgt_mask: (B, T) bool, True where a token of tgt_output is.
    """

    src: Tensor
    src_mask: Tensor
    tgt_input: Tensor
    tgt_output: Tensor
    tgt_mask: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on ``device``."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__))


def collate(
    corpus: ParallelCorpus,
    indexes: np.ndarray,
    pad_id: int,
    decoder_start_id: int,
    dropouts: tuple[SubwordDropout, SubwordDropout] | None = None,
    epoch: int = 0,
) -> Batch:
    """Return the pairs ``indexes`` (B,) of ``corpus`` as a batch on the CPU, in that order.

    pad_id: written after each row's end, on both sides; the masks follow from the lengths, not from it.
    decoder_start_id: what a target starts from (apart from bos_id; a config may make it eos or pad).
    dropouts: of the source's and the target's subwords, where the text is to be cut anew in ``epoch``.
    """
    src, src_lengths = corpus.src_rows(indexes, pad_id)
    tgt, tgt_lengths = corpus.tgt_rows(indexes, pad_id)
    if dropouts:
        src, src_lengths, _ = dropouts[0](src, src_lengths, indexes, epoch, "src", pad_id)
        tgt, tgt_lengths, _ = dropouts[1](tgt, tgt_lengths, indexes, epoch, "tgt", pad_id)
    tgt_mask = np.arange(tgt.shape[1]) < tgt_lengths[:, None]
    tgt_input = np.full_like(tgt, pad_id)  # (B, T): the output one place to the right
    tgt_input[:, :1] = decoder_start_id
    tgt_input[:, 1:][tgt_mask[:, 1:]] = tgt[:, :-1][tgt_mask[:, 1:]]
    return Batch(
        src=torch.from_numpy(src),
        src_mask=torch.from_numpy(np.arange(src.shape[1]) < src_lengths[:, None]),
        tgt_input=torch.from_numpy(tgt_input),
        tgt_output=torch.from_numpy(tgt),
        tgt_mask=torch.from_numpy(tgt_mask),
    )
