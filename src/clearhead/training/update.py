"""One update of the weights: micro-batches forward and backward, one optimizer step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from clearhead.config import TrainingConfig
from clearhead.data.randomness import derive_seed
from clearhead.errors import MachineError
from clearhead.nn.dropout import drawing_from
from clearhead.training.distributed import Engine, Team, whole_number


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


@dataclass(frozen=True)
class Piece:
    """A micro-batch of an update.

    number: its place among those of all processes; keys the dropout.
    batch: what the loss takes.
    counts: False for one that only keeps step with processes that have more; it changes nothing.
    """

    number: int
    batch: Any
    counts: bool = True


class Updater:
    """Applies updates to a model: what they need and what does not change from one to the next.

    On a processor each worker takes its share of the micro-batches on one thread, with gradients of its own over the
    same weights: no barrier after every operation, where a busy neighbour would keep all threads waiting.

    Args:
        loss: the model inside its loss, as ``engine`` wraps it.
        team: the processes whose gradients become one; each has as many pieces of an update as the others.
        workers: how many micro-batches are computed at once; they are summed in a fixed order.
    """

    def __init__(
        self,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
        config: TrainingConfig,
        team: Team,
        engine: Engine,
        workers: int = 1,
    ) -> None:
        assert workers == 1 or team.size == 1
        self.optimizer = optimizer
        self.config = config
        self.team = team
        self.engine = engine
        self.weights = [weight for weight in loss.parameters() if weight.requires_grad]
        self.replicas = [loss, *(_sharing(loss) for _ in range(workers - 1))]
        self.pool = ThreadPoolExecutor(workers, "worker", torch.set_num_threads, (1,)) if workers > 1 else None

    def update(self, pieces: Iterable[Piece], tokens: int, step: int, rate: float) -> Outcome:
        """Take one optimizer step on a batch given in pieces.

        Args:
            pieces: this process's; their gradients are summed.
            tokens: target tokens of the whole batch, of all processes, by which the loss is divided.
            step: number of the update from 1; keys the dropout.
            rate: learning rate.

        Raises:
            torch.OutOfMemoryError: a GPU has no room for a piece; but for gradients everything is as it was.
            MachineError: it has none for the optimizer's state.
        """
        pieces = list(pieces)
        shares = [pieces[worker :: len(self.replicas)] for worker in range(len(self.replicas))]
        work = partial(self._accumulate, tokens=tokens, step=step)
        run = self.pool.map if self.pool else map
        sums = list(run(work, self.replicas, shares))
        for replica in self.replicas[1:]:
            _move_gradients(replica, self.replicas[0])
        loss, nll = self.team.total(*(sum(parts) for parts in zip(*sums)))
        norm = whole_number(nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm or math.inf))
        applied = math.isfinite(loss) and math.isfinite(norm)
        if applied:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            try:
                self.optimizer.step()
            except torch.OutOfMemoryError as error:  # smaller pieces make no more room, and half of it is made
                raise MachineError("no-room-for-moments") from error
        self.optimizer.zero_grad(set_to_none=True)
        return Outcome(loss, nll, tokens, norm, applied)

    def _accumulate(self, loss_of: nn.Module, pieces: list[Piece], tokens: int, step: int) -> tuple[float, float]:
        """Add the gradients of ``pieces`` to those of ``loss_of``; return the sums of the smoothed and plain loss."""
        loss_of.train()
        loss = nll = 0.0
        for piece in pieces:
            # A draw depends on the seed, the step and the piece, on nothing that came before.
            seed = derive_seed(self.config.seed, "dropout", step, piece.number)
            if torch.cuda.is_available():
                torch.cuda.manual_seed(seed)
            # Engines average over the processes, and what is wanted is the sum.
            scale = self.team.size / tokens if piece.counts else 0.0
            with drawing_from(seed), self.engine.piece(loss_of, piece is pieces[-1]):
                smoothed, plain = loss_of(piece.batch, scale)
                smoothed.backward()
            loss += float(smoothed.detach()) * tokens / self.team.size
            nll += float(plain) * piece.counts
        return loss, nll


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
