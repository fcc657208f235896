"""From token ids to vectors, and from vectors to a number for each token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """One learned vector a token, scaled by sqrt(d_model) (Vaswani et al. 2017, section 3.4).

    scaled: False for BERT's and GPT's, which are taken as they are.
    """

    def __init__(self, vocabulary_size: int, d_model: int, scaled: bool = True) -> None:
        super().__init__()
        self.scaled = scaled
        self.weight = nn.Parameter(torch.empty(vocabulary_size, d_model))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the vectors (..., D) of tokens (...)."""
        vectors = nn.functional.embedding(tokens, self.weight)
        return vectors * math.sqrt(self.weight.shape[1]) if self.scaled else vectors


def project(hidden: Tensor, weight: Tensor, bias: Tensor | None, candidates: Tensor | None = None) -> Tensor:
    """Return hidden W^T + b: logits (..., V) of hidden (..., D), or (..., C) over ``candidates`` (C,) ids.

    weight: (V, D); bias: (V,).
    """
    if candidates is not None:
        weight, bias = weight[candidates], None if bias is None else bias[candidates]
    return nn.functional.linear(hidden, weight, bias)
