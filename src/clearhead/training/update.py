"""One update of the weights: micro-batches forward and backward, one optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from clearhead.config import TrainingConfig
from clearhead.data.batch import Batch
from clearhead.data.randomness import derive_seed
from clearhead.device import Device
from clearhead.models.interface import Seq2Seq
from clearhead.training.loss import linear_cross_entropy


@dataclass(frozen=True)
class Outcome:
    """What an update did.

    loss, nll: label-smoothed and plain cross-entropy, sums over the target tokens; tokens: how many those were.
    grad_norm: norm of the gradient before clipping; applied: False where it was not finite and nothing changed.
    """

    loss: float
    nll: float
    tokens: int
    grad_norm: float
    applied: bool


class Updater:
    """Applies updates to a model: what they need and what does not change from one to the next."""

    def __init__(
        self, model: Seq2Seq, optimizer: torch.optim.Optimizer, config: TrainingConfig, device: Device
    ) -> None:
        assert isinstance(model, nn.Module)
        self.model = model
        self.optimizer = optimizer
        self.config = config
        self.device = device
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]

    def update(self, micro_batches: Iterable[Batch], tokens: int, step: int, rate: float) -> Outcome:
        """Take one optimizer step on a batch given in pieces.

        Args:
            micro_batches: the pieces; their gradients are summed.
            tokens: target tokens of the whole batch, by which the loss is divided.
            step: number of the update from 1; keys the dropout.
            rate: learning rate.
        """
        self.model.train()
        loss = nll = 0.0
        for index, batch in enumerate(micro_batches):
            # Dropout draws from PyTorch's generator: seeded here, a draw depends on nothing that came before.
            torch.manual_seed(derive_seed(self.config.seed, "dropout", step, index))
            smoothed, plain = self._loss(batch.to(self.device.name), tokens)
            smoothed.backward()
            loss += float(smoothed.detach()) * tokens
            nll += float(plain)
        norm = float(nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm or math.inf))
        applied = math.isfinite(loss) and math.isfinite(norm)
        if applied:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Outcome(loss, nll, tokens, norm, applied)

    def _loss(self, batch: Batch, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        with self.device.autocast():
            hidden = self.model(batch)[batch.tgt_mask]  # (B, T, D) -> (N, D): padding is not projected
            targets = batch.tgt_output[batch.tgt_mask]
            return linear_cross_entropy(
                hidden, self.model.output_weight, targets, self.config.label_smoothing, 1.0 / tokens
            )
