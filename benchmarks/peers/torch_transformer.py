"""torch.nn.Transformer, trained as PyTorch's translation tutorial trains it. Runs in the peer's environment.

As there: each side has embeddings of its own, scaled by sqrt(d_model), sinusoidal positions, dropout, nn.Transformer on
time-first tensors, a linear generator over the vocabulary with nothing tied, Glorot weights, cross-entropy that ignores
padding, Adam with betas 0.9 and 0.98. Given beyond the tutorial: batches sorted by length, and no mask of zeros over
the source, which only costs time. No smoothing, no schedule and no clipping, as there: a little less work than the
others have.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from plain_loop import Rows, main, pad
from torch import Tensor, nn

LONGEST = 512


class TranslationTransformer(nn.Module):
    """nn.Transformer between two embeddings and a generator."""

    def __init__(self, recipe: dict[str, Any], facts: dict[str, Any]) -> None:
        super().__init__()
        self.pad_id = facts["pad_id"]
        width, vocabulary_size = recipe["d_model"], facts["vocabulary_size"]
        self.src_embedding = nn.Embedding(vocabulary_size, width)
        self.tgt_embedding = nn.Embedding(vocabulary_size, width)
        self.dropout = nn.Dropout(recipe["dropout"])
        self.transformer = nn.Transformer(
            width,
            recipe["n_heads"],
            recipe["n_layers"],
            recipe["n_layers"],
            recipe["d_ff"],
            recipe["dropout"],
            norm_first=recipe["norm"] == "pre",
        )
        self.generator = nn.Linear(width, vocabulary_size)
        angles = torch.arange(LONGEST)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
        self.register_buffer("positions", torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, None])
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (T, B, V) of src (S, B) and tgt (T, B)."""
        src_padding, tgt_padding = (src == self.pad_id).t(), (tgt == self.pad_id).t()
        hidden = self.transformer(
            self._embed(self.src_embedding, src),
            self._embed(self.tgt_embedding, tgt),
            tgt_mask=torch.ones(len(tgt), len(tgt), dtype=torch.bool).triu(1),
            src_key_padding_mask=src_padding,
            tgt_key_padding_mask=tgt_padding,
            memory_key_padding_mask=src_padding,
        )
        return self.generator(hidden)

    def _embed(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        return self.dropout(embedding(tokens) * math.sqrt(embedding.embedding_dim) + self.positions[: len(tokens)])


def make(recipe: dict[str, Any], facts: dict[str, Any]) -> tuple:
    model = TranslationTransformer(recipe, facts)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0001, betas=(0.9, 0.98), eps=1e-9)
    cross_entropy = nn.CrossEntropyLoss(ignore_index=facts["pad_id"])

    def loss_of(src: Rows, tgt: Rows) -> Tensor:
        output = pad(tgt, facts["pad_id"]).t()
        shifted = pad(([facts["start_id"], *row[:-1]] for row in tgt), facts["pad_id"]).t()
        logits = model(pad(src, facts["pad_id"]).t(), shifted)
        return cross_entropy(logits.flatten(0, 1), output.flatten())

    return model, optimizer, loss_of


if __name__ == "__main__":
    main(make)
