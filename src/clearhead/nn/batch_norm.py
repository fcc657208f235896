"""Batch normalisation, which the Transformer does not have: to see why."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.1
"""How much of the running statistics each micro-batch replaces; PyTorch's default."""


class BatchNorm(nn.Module):
    """Each feature less its mean and over its standard deviation, by a gain and with a bias (Ioffe and Szegedy 2015).

    In training mean and variance are those of the micro-batch: over its tokens, padding not counted, so that a
    sentence's vectors depend on the sentences it is computed with. Otherwise they are the running ones, which are kept
    with the weights: in decoding, position by position, there is no batch that they could be taken from. Of several
    workers the first one's micro-batches make the running ones.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, d_model: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(d_model))
        self.bias = nn.Parameter(torch.empty(d_model))
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("variance", torch.ones(d_model))

    def forward(self, x: Tensor, is_token: Tensor | None = None) -> Tensor:
        """Return x (B, T, D) normalised; in training padding becomes 0. is_token: (B, T) bool, None for everywhere."""
        rows = x.flatten(0, -2) if is_token is None or not self.training else x[is_token]  # (N, D)
        running = (self.mean, self.variance) if self.training else ()
        before = [each.clone() for each in running]
        rows = F.batch_norm(
            rows, self.mean, self.variance, self.weight, self.bias, self.training, MOMENTUM, self.epsilon
        )
        if not all(each.isfinite().all() for each in running):  # the update will be skipped, and leaves no trace here
            for each, was in zip(running, before):
                each.copy_(was)
        if len(rows) == x.shape[:-1].numel():
            return rows.view_as(x)
        return rows.new_zeros(x.shape).index_put((is_token,), rows)
