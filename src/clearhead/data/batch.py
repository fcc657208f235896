"""A batch of sentence pairs as tensors: what a model is taught with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
