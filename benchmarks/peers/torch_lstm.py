"""A recurrent encoder-decoder of torch.nn.LSTM in a plain loop: the sizes and the network of clearhead's, nothing else.

Batch first, the source packed, Adam, cross-entropy that ignores padding, gradients clipped to a norm of 1. With a fixed
context the decoder is one nn.LSTM over the whole target. With attention it is PyTorch's tutorial "Translation with a
Sequence to Sequence Network and Attention": position by position, additive attention with the state so far, the context
beside the token into nn.LSTM. Given beyond the tutorial, which does both at each position: the memory's keys are made
and the logits are computed once a batch. No smoothing and no schedule: a little less work than clearhead has.
"""

from __future__ import annotations

from typing import Any

import torch
from plain_loop import Rows, main, pad
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CLIP = 1.0


class LstmSeq2Seq(nn.Module):
    """Two stacks of LSTMs between two embeddings and a projection; with attention or without."""

    def __init__(self, recipe: dict[str, Any], facts: dict[str, Any]) -> None:
        super().__init__()
        width, layers, dropout = recipe["d_model"], recipe["n_layers"], recipe["dropout"]
        between = dropout if layers > 1 else 0.0
        self.attends = recipe["attention"] != "none"
        self.pad_id = facts["pad_id"]
        self.src_embedding = nn.Embedding(facts["vocabulary_size"], width)
        self.tgt_embedding = nn.Embedding(facts["vocabulary_size"], width)
        self.encoder = nn.LSTM(width, width // 2, layers, batch_first=True, dropout=between, bidirectional=True)
        self.decoder = nn.LSTM((1 + self.attends) * width, width, layers, batch_first=True, dropout=between)
        if self.attends:
            self.w_q = nn.Linear(width, width, bias=False)
            self.w_k = nn.Linear(width, width, bias=False)
            self.w_score = nn.Linear(width, 1, bias=False)
            self.w_c = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, facts["vocabulary_size"], bias=False)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        """Return logits (B, T, V) of src (B, S) and tgt (B, T)."""
        is_token = src != self.pad_id
        embedded = self.dropout(self.src_embedding(src))
        packed = pack_padded_sequence(embedded, is_token.sum(dim=1), batch_first=True, enforce_sorted=False)
        read, (h, c) = self.encoder(packed)
        memory, _ = pad_packed_sequence(read, batch_first=True)
        state = both_ways(h), both_ways(c)
        x = self.dropout(self.tgt_embedding(tgt))
        hidden = self._attend(x, memory, is_token, state) if self.attends else self.decoder(x, state)[0]
        return self.output(self.dropout(hidden))

    def _attend(self, x: Tensor, memory: Tensor, is_token: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        keys = self.w_k(memory)  # (B, S, D)
        hiddens = []
        for position in x.split(1, dim=1):  # (B, 1, D)
            scores = self.w_score(torch.tanh(self.w_q(state[0][-1]).unsqueeze(1) + keys)).squeeze(-1)  # (B, S)
            weights = scores.masked_fill(~is_token, -torch.inf).softmax(dim=-1)
            context = weights.unsqueeze(1) @ memory  # (B, 1, D)
            hidden, state = self.decoder(torch.cat([position, self.dropout(context)], dim=-1), state)
            hiddens.append(torch.cat([context, hidden], dim=-1))
        return torch.tanh(self.w_c(torch.cat(hiddens, dim=1)))


def both_ways(state: Tensor) -> Tensor:
    """Return the last states of both directions side by side, (2 L, B, D / 2) -> (L, B, D)."""
    return torch.cat([state[0::2], state[1::2]], dim=-1)


def make(recipe: dict[str, Any], facts: dict[str, Any]) -> tuple:
    model = LstmSeq2Seq(recipe, facts)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe["learning_rate"])
    optimizer.register_step_pre_hook(lambda *_: nn.utils.clip_grad_norm_(model.parameters(), CLIP) and None)
    cross_entropy = nn.CrossEntropyLoss(ignore_index=facts["pad_id"])

    def loss_of(src: Rows, tgt: Rows) -> Tensor:
        output = pad(tgt, facts["pad_id"])
        shifted = pad(([facts["start_id"], *row[:-1]] for row in tgt), facts["pad_id"])
        logits = model(pad(src, facts["pad_id"]), shifted)
        return cross_entropy(logits.flatten(0, 1), output.flatten())

    return model, optimizer, loss_of


if __name__ == "__main__":
    main(make)
