"""From a text to its label: a body that reads it, one vector for all of it, a linear layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from clearhead.config import BagConfig, ClassifierConfig
from clearhead.models.interface import Memory
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding

POOLER_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


class Body(Protocol):
    """What reads a text."""

    d_model: int

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Return a vector (D,) for each token of ids (N, S); mask: (N, S) bool, True where a token is."""
        ...


class BagOfEmbeddings(nn.Module):
    """Each token's vector, whatever stands around it."""

    def __init__(self, config: BagConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.token_embedding = TokenEmbedding(vocabulary_size, config.d_model)
        self.dropout = Dropout(config.dropout)

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Return the vectors of ids (N, S); mask: (N, S) bool, True where a token is."""
        return Memory(self.dropout(self.token_embedding(ids)), mask)


class Classifier(nn.Module):
    """A body, its tokens pooled (with BERT's pooler: Devlin et al. 2019, section 4.1), and the labels' logits.

    Args:
        config: pooling and labels.
        body: what reads the text; an ``nn.Module``.
    """

    def __init__(self, config: ClassifierConfig, body: Body) -> None:
        super().__init__()
        assert isinstance(body, nn.Module)
        self.config = config
        self.body = body
        self.max_positions = config.max_positions
        self.w_pooler = nn.Linear(body.d_model, body.d_model) if config.pooler else None
        self.dropout = Dropout(config.dropout)
        self.w_label = nn.Linear(body.d_model, len(config.labels))

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of ids (B, S); mask: (B, S) bool, True where a token is; segments: (B, S)."""
        text = pool(self.body.encode(ids, mask, segments), self.config.pooling)
        if self.w_pooler is not None:
            text = POOLER_ACTIVATIONS[self.config.pooler_activation](self.w_pooler(text))
        return self.w_label(self.dropout(text))


def pool(memory: Memory, pooling: str) -> Tensor:
    """Return one vector a text, (N, S, D) -> (N, D): the "first" token's, the "mean", or each number's "max"."""
    hidden, mask = memory.hidden, memory.mask[:, :, None]
    match pooling:
        case "mean":
            return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        case "max":
            return hidden.masked_fill(~mask, -math.inf).amax(dim=1)
        case _:
            return hidden[:, 0]
