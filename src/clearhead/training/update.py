"""One update of the weights: micro-batches forward and backward, one optimizer step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from clearhead.config import TrainingConfig
from clearhead.data.batch import Batch
from clearhead.data.randomness import derive_seed
from clearhead.device import Device
from clearhead.models.interface import Seq2Seq
from clearhead.nn.dropout import drawing_from
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
    """Applies updates to a model: what they need and what does not change from one to the next.

    On a processor each worker takes its share of the micro-batches on one thread, with gradients of its own over the
    same weights: no barrier after every operation, where a busy neighbour would keep all threads waiting.

    Args:
        workers: how many micro-batches are computed at once; they are summed in a fixed order.
    """

    def __init__(
        self, model: Seq2Seq, optimizer: torch.optim.Optimizer, config: TrainingConfig, device: Device, workers: int = 1
    ) -> None:
        assert isinstance(model, nn.Module)
        self.model = model
        self.optimizer = optimizer
        self.config = config
        self.device = device
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.replicas = [model, *(_sharing(model) for _ in range(workers - 1))]
        self.pool = ThreadPoolExecutor(workers, "worker", torch.set_num_threads, (1,)) if workers > 1 else None

    def update(self, micro_batches: Iterable[Batch], tokens: int, step: int, rate: float) -> Outcome:
        """Take one optimizer step on a batch given in pieces.

        Args:
            micro_batches: the pieces; their gradients are summed.
            tokens: target tokens of the whole batch, by which the loss is divided.
            step: number of the update from 1; keys the dropout.
            rate: learning rate.
        """
        pieces = list(enumerate(micro_batches))
        shares = [pieces[worker :: len(self.replicas)] for worker in range(len(self.replicas))]
        work = partial(self._accumulate, tokens=tokens, step=step)
        run = self.pool.map if self.pool else map
        sums = list(run(work, self.replicas, shares))
        for replica in self.replicas[1:]:
            _move_gradients(replica, self.replicas[0])
        loss, nll = (sum(parts) for parts in zip(*sums))
        norm = float(nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm or math.inf))
        applied = math.isfinite(loss) and math.isfinite(norm)
        if applied:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Outcome(loss, nll, tokens, norm, applied)

    def _accumulate(
        self, model: nn.Module, pieces: list[tuple[int, Batch]], tokens: int, step: int
    ) -> tuple[float, float]:
        """Add the gradients of ``pieces`` to those of ``model``; return the sums of the smoothed and the plain loss."""
        model.train()
        loss = nll = 0.0
        for index, batch in pieces:
            # A draw depends on the seed, the step and the piece, on nothing that came before.
            seed = derive_seed(self.config.seed, "dropout", step, index)
            if self.device.name != "cpu":
                torch.manual_seed(seed)
            with drawing_from(torch.Generator().manual_seed(seed)):
                smoothed, plain = self._loss(model, batch.to(self.device.name), tokens)
            smoothed.backward()
            loss += float(smoothed.detach()) * tokens
            nll += float(plain)
        return loss, nll

    def _loss(self, model: nn.Module, batch: Batch, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        with self.device.autocast():
            hidden = model(batch)[batch.tgt_mask]  # (B, T, D) -> (N, D): padding is not projected
            targets = batch.tgt_output[batch.tgt_mask]
            weight = model.output_weight
            assert isinstance(weight, torch.Tensor)
            return linear_cross_entropy(hidden, weight, targets, self.config.label_smoothing, 1.0 / tokens)


def _sharing(model: nn.Module) -> nn.Module:
    """Return a model over the same weights that has gradients of its own."""
    replica = copy.deepcopy(model)
    for weight, shared in zip(replica.parameters(), model.parameters()):
        weight.data = shared.data
    return replica


def _move_gradients(source: nn.Module, target: nn.Module) -> None:
    for theirs, ours in zip(source.parameters(), target.parameters()):
        if theirs.grad is not None:
            ours.grad = theirs.grad if ours.grad is None else ours.grad.add_(theirs.grad)
            theirs.grad = None
