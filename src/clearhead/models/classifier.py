"""From a text to its label: a body that reads it, one vector for all of it, a linear layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from clearhead.config import BagConfig, ClassifierConfig, RecurrentEncoderConfig
from clearhead.models.interface import Memory
from clearhead.models.recurrent import Encoder
from clearhead.nn.dropout import Dropout
from clearhead.nn.embedding import TokenEmbedding
from clearhead.nn.ngrams import NgramEvidence

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


class RecurrentText(nn.Module):
    """Each token's vector in its context, by recurrent layers that read one way or both."""

    def __init__(self, config: RecurrentEncoderConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.d_model = config.d_model
        self.token_embedding = TokenEmbedding(vocabulary_size, config.d_model)
        self.encoder = Encoder(config)

    def encode(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Memory:
        """Return the vectors of ids (N, S) and what each layer ends in; mask: (N, S) bool, True where a token is."""
        hidden, final = self.encoder(self.token_embedding(ids), mask)
        return Memory(hidden, mask, final)


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
        ngrams = config.ngram_evidence
        runs = ngrams.longest, ngrams.buckets, len(config.labels), ngrams.min_count
        self.ngram_evidence = NgramEvidence(*runs) if ngrams.longest else None

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """Return logits (B, C) of ids (B, S); mask: (B, S) bool, True where a token is; segments: (B, S)."""
        text = pool(self.body.encode(ids, mask, segments), self.config.pooling)
        if self.w_pooler is not None:
            text = POOLER_ACTIVATIONS[self.config.pooler_activation](self.w_pooler(text))
        logits = self.w_label(self.dropout(text))
        if self.ngram_evidence is not None:
            logits = logits + self.ngram_evidence(ids, mask).sum(dim=1)
        return logits


def pool(memory: Memory, pooling: str) -> Tensor:
    """Return one vector a text, (N, S, D) -> (N, D): the "first" token's; the "mean"; the sum divided by the "root" of
    their number, so that a long text may be surer than a short one; each number's "max"; or the "final" state of the
    top recurrent layer, each direction's where it stopped."""
    hidden, mask = memory.hidden, memory.mask[:, :, None]
    match pooling:
        case "mean":
            return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        case "root":
            return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1).sqrt()
        case "max":
            return hidden.masked_fill(~mask, -math.inf).amax(dim=1)
        case "final":
            assert memory.final is not None
            return memory.final[-1, 0]  # of what a cell remembers, h
        case _:
            return hidden[:, 0]
