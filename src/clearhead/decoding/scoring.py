"""What the model says of given pairs, by teacher forcing."""

from __future__ import annotations

import torch

from clearhead.data.batch import Batch
from clearhead.decoding.hypothesis import Hypothesis
from clearhead.models.interface import Seq2Seq

POSITIONS_AT_ONCE = 1024
"""How many positions are projected to the vocabulary at once, which bounds the memory for logits."""


@torch.no_grad()
def score_pairs(model: Seq2Seq, batch: Batch, alpha: float = 0.0) -> list[Hypothesis]:
    """Return the log-probability of each pair's target given its source, token by token and summed, eos included.

    alpha: the length penalty in ``score``.
    """
    hidden = model.forward(batch)[batch.tgt_mask]  # (B, T, D) -> (tokens, D)
    targets = batch.tgt_output[batch.tgt_mask]
    log_probs = torch.cat(
        [
            model.project(some).float().log_softmax(-1).gather(1, wanted.unsqueeze(1)).squeeze(1)
            for some, wanted in zip(hidden.split(POSITIONS_AT_ONCE), targets.split(POSITIONS_AT_ONCE))
        ]
    )
    lengths = batch.tgt_mask.sum(1).tolist()
    rows = zip(targets.split(lengths), log_probs.split(lengths))
    return [Hypothesis.of(tokens.tolist(), each.tolist(), True, alpha) for tokens, each in rows]
