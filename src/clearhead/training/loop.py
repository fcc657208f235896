"""The training loop: updates, validations and checkpoints, told as typed events. It prints and listens to nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from clearhead.config import RunConfig
from clearhead.data.order import BatchOrder, micro_batches
from clearhead.device import Device
from clearhead.errors import MachineError, TrainingError
from clearhead.models.build import load_weights
from clearhead.models.transfer import Taken
from clearhead.runs.folder import RunFolder
from clearhead.training.distributed import Team, make_engine, part_like
from clearhead.training.events import (
    Event,
    Finished,
    NotUsed,
    Progress,
    Sample,
    Saved,
    SaveFailed,
    Skipped,
    Started,
    Validated,
)
from clearhead.training.keeping import Keeper
from clearhead.training.memory import micro_batch_tokens
from clearhead.training.optimizer import make_optimizer
from clearhead.training.position import Position, Tally
from clearhead.training.schedule import learning_rate
from clearhead.training.stopping import Stopped, asking
from clearhead.training.task import Task
from clearhead.training.update import Outcome, Piece, Updater

SKIPS_IN_A_ROW = 10
"""Training ends when so many updates in a row are not finite: the weights, not the batch, are at fault."""
SAVE_PAUSES_S = (10.0, 60.0, 300.0)
"""How long to wait before each further try of a save that failed; after the last try the training ends."""

Written = TypeVar("Written")


class Training:
    """One training of one run: made, then iterated over.

    Args:
        run: the run folder; its checkpoints are written, and gone on from if there are any.
        task: what to train and validate on, and what is lost by a batch.
        model: what the task's loss takes; goes on from the checkpoint's weights if there is one.
        device: where to compute.
        should_stop: asked after every update; True ends the training with a checkpoint.
        team: the processes of this training; all of them iterate, the first one writes.
    """

    def __init__(
        self,
        run: RunFolder,
        task: Task,
        model: nn.Module,
        device: Device,
        should_stop: Callable[[], bool],
        team: Team | None = None,
    ) -> None:
        self.run = run
        self.config: RunConfig = run.config
        self.task = task
        self.model = model.to(device.name)
        self.device = device
        self.should_stop = should_stop
        self.team = team or Team()
        self.engine = make_engine(self.team, self.config.training.parallel)
        workers = torch.get_num_threads() if device.name == "cpu" and self.team.size == 1 else 1
        loss = task.loss(self.model, self.config.training.label_smoothing)
        held = self.config.training.micro_batch_tokens
        self.micro_batch_tokens = self._what_fits(loss, workers) if held == "auto" else held
        self.loss = self.engine.wrap(loss)
        self.optimizer = make_optimizer(model, self.config.training)
        self.updater = Updater(self.loss, self.optimizer, self.config.training, self.team, self.engine, workers)
        self.position = Position()
        self.minutes_spent = 0.0
        """Which share of ``max_minutes`` the updates have taken so far, by the first process's clock."""
        self.since = Tally.begin()
        self.kernels = ""
        """What computes the operations that are ours, for people."""
        self.taken: list[tuple[str, Taken]] = []
        """What was taken from which other runs before the first update."""
        self.damaged: list[str] = []
        """What was found wrong with newer checkpoints than the one gone on from."""
        self.keeper = Keeper(run, self.config.training, self.model, self.optimizer, self.team, self.engine.files)
        if found := self.keeper.load():
            self.position, self.since, self.damaged = found
        self._began = time.perf_counter() - self.position.elapsed_s

    def events(self) -> Iterator[Event]:
        """Train, and say what happens as it happens."""
        config = self.config.training
        yield self._started()
        over = self._spent()
        reason = self._out_of_patience() or over
        if self.position.validation_due:
            reason = yield from self._settle(over)
        batches = self._batches()
        while not reason:
            position, indexes = next(batches)
            step, began = position.step + 1, time.perf_counter()
            rate = learning_rate(config, self.config.model.d_model, step, self.minutes_spent)
            outcome = self._update(indexes, position.epoch, step, rate)
            skipped = 0 if outcome.applied else position.skipped + 1
            spent = position.training_s + time.perf_counter() - began
            self.position = replace(position, step=step, batch=position.batch + 1, skipped=skipped, training_s=spent)
            if outcome.applied:
                self.since.add(outcome)
            else:
                yield from self._skipped(position, indexes)
            over = self._spent()
            if self.since.steps and (over or step % config.log_every == 0):
                yield self._progress(self.since, rate)
                self.since = Tally.begin()
            reason = yield from self._settle(over)
        yield from self._finish(reason)

    def _settle(self, over: str) -> Generator[Event, None, str]:
        """Validate and save where the step asks for it; return why the training ends here, "" where it goes on.

        over: which budget is spent, "" while there is some left. A stop does not wait for a validation: resuming makes
        up for it, so that nothing comes out otherwise.
        """
        config, step = self.config.training, self.position.step
        due = self.position.validation_due or step % config.validate_every == 0 or bool(over)
        self.position = replace(self.position, validation_due=due)
        if due and not self._asked_to_stop():
            if self.team.size > 1:  # it sees a validation through, and whoever stops it may not wait so long
                yield (yield from self._insist(self._saved))
            validated = self._validated()
            if validated:
                yield validated
        reason = "interrupted" if self._asked_to_stop() else self._out_of_patience() or over
        is_best = self.position.best_step == step
        if step % config.checkpoint_every == 0 or is_best or reason:
            yield (yield from self._insist(self._saved))
        return reason

    def _insist(self, write: Callable[[], Written]) -> Generator[Event, None, Written]:
        """Return what ``write`` returns; where the disk fails it, try again after each of ``SAVE_PAUSES_S``."""
        for pause in SAVE_PAUSES_S:
            try:
                return write()
            except MachineError as error:
                yield SaveFailed(self.position.step, error.message(), pause)
            until = time.monotonic() + pause
            while time.monotonic() < until and not self.should_stop():
                time.sleep(0.1)
        return write()

    def _asked_to_stop(self) -> bool:
        return self.team.total(self.should_stop()) != [0.0]

    def _out_of_patience(self) -> str:
        patience = self.config.training.patience
        return "patience" if patience and self.position.bad_validations >= patience else ""

    def _spent(self) -> str:
        """Return which budget is spent, "" where there is some left."""
        config = self.config.training
        if self.position.step >= config.max_steps:
            return "max-steps"
        if config.max_minutes:
            self.minutes_spent = self.team.agree(self.position.training_s / (60.0 * config.max_minutes))
        return "max-minutes" if self.minutes_spent >= 1.0 else ""

    # --- what the loop is made of

    def _batches(self) -> Iterator[tuple[Position, np.ndarray]]:
        """Yield the pairs of each update from the present position on, with the position before it."""
        order = BatchOrder(self.task.corpora.train, self.config.training.batch_tokens, self.config.training.seed)
        while True:
            batches = order.epoch(self.position.epoch)
            for indexes in batches[self.position.batch :]:
                yield self.position, indexes
            self.position = replace(self.position, epoch=self.position.epoch + 1, batch=0)

    def _update(self, indexes: np.ndarray, epoch: int, step: int, rate: float) -> Outcome:
        """Take one step on a batch; where a GPU has no room for a micro-batch, with smaller ones from then on."""
        while True:
            try:
                count = self.task.count(self.task.corpora.train, indexes, epoch)
                return self.updater.update(self._pieces(indexes, epoch), count, step, rate)
            except torch.OutOfMemoryError:
                # A team cannot agree on smaller ones: the others are joining gradients by now, and wait for this one.
                if self.micro_batch_tokens == 1 or self.team.size > 1:
                    raise
                self.optimizer.zero_grad(set_to_none=True)
                self.micro_batch_tokens //= 2
                torch.cuda.empty_cache()

    def _pieces(self, indexes: np.ndarray, epoch: int) -> list[Piece]:
        """Return this process's micro-batches of an update: as many as every other's, of about as many tokens.

        Every process works out what all of them have, so that none waits for a piece that another lacks.
        """
        train, rank, size = self.task.corpora.train, self.team.rank, self.team.size
        workers, held = len(self.updater.replicas), self.micro_batch_tokens
        if self.config.training.micro_batch_tokens == "auto":
            # As many pieces for each worker, with room for a row that does not divide evenly.
            batch_tokens = math.ceil(self.config.training.batch_tokens / size)
            pieces = workers * math.ceil(batch_tokens / (workers * held))
            longest = max(train.src_lengths[indexes].max(), train.tgt_lengths[indexes].max())
            budget = min(math.ceil(batch_tokens / pieces) + int(longest), max(held, int(longest)))
        else:
            budget = max(1, held // workers)
        shares = [micro_batches(indexes[other::size], train, budget) for other in range(size)]
        most = max(len(share) for share in shares)
        batches = [self.task.batch(train, piece, epoch) for piece in shares[rank]]
        mine = [Piece(rank + size * n, batch) for n, batch in enumerate(batches)]
        empty = self.task.batch(train, indexes[:1], epoch) if len(mine) < most else None
        return mine + [Piece(rank + size * n, empty, False) for n in range(len(mine), most)]

    def _what_fits(self, loss: nn.Module, workers: int) -> int:
        train = self.task.corpora.train
        lengths = np.maximum(train.src_lengths, train.tgt_lengths)
        longest = lengths.argmax(keepdims=True)
        batch_tokens = math.ceil(self.config.training.batch_tokens / self.team.size)

        def sample(pairs: int) -> Any:
            return self.task.batch(train, longest.repeat(pairs), 0)

        longest_side, parts = int(lengths.max()), self.engine.files
        held = micro_batch_tokens(loss, self.device, batch_tokens, sample, longest_side, workers, parts)
        return min(self.team.gather(held))  # unlike machines work as one: their pieces are cut alike

    # --- events

    def _started(self) -> Started:
        weights = list(self.model.parameters())
        return Started(
            step=self.position.step,
            max_steps=self.config.training.max_steps,
            parameters=sum(weight.numel() for weight in weights),
            train_pairs=len(self.task.corpora.train),
            valid_pairs=len(self.task.corpora.valid),
            precision=self.device.precision,
            device=self.device.name,
            threads=torch.get_num_threads(),
            processes=self.team.size,
            micro_batch_tokens=self.micro_batch_tokens,
            max_minutes=self.config.training.max_minutes,
            frozen=sum(weight.numel() for weight in weights if not weight.requires_grad),
        )

    def _progress(self, since: Tally, rate: float) -> Progress:
        elapsed = self._elapsed()
        config = self.config.training
        seconds = time.perf_counter() - since.began
        left = (config.max_steps - self.position.step) * seconds / since.steps
        if config.max_minutes:
            left = min(left, max(0.0, 60.0 * config.max_minutes - self.position.training_s))
        return Progress(
            step=self.position.step,
            epoch=self.position.epoch,
            loss=since.loss / since.tokens,
            nll=since.nll / since.tokens,
            learning_rate=rate,
            grad_norm=since.grad_norm / since.steps,
            tokens_per_s=since.tokens / seconds,
            elapsed_s=elapsed,
            remaining_s=left,
            tokens=since.tokens,
            unit=self.task.unit,
        )

    def _skipped(self, at: Position, indexes: np.ndarray) -> Iterator[Event]:
        """Tell of a batch at ``at`` that was not finite; the last of too many in a row ends the training.

        Before that the weights are saved, which none of them has changed, unless it is them that are not finite.
        """
        step, count, pairs = self.position.step, self.position.skipped, self.task.corpora.train.origins(indexes)
        if count < SKIPS_IN_A_ROW:
            yield Skipped(step, "the loss or its gradient is not finite", at.epoch, at.batch, pairs)
            return
        self.position = replace(self.position, skipped=0)  # who goes on, at a lower rate, say, has as many
        with suppress(TrainingError):
            yield (yield from self._insist(self._saved))
        where = {"epoch": at.epoch, "batch": at.batch, "pairs": ", ".join(pairs)}
        raise TrainingError("not-finite", step=step, count=count, **where)

    def _validated(self) -> Validated | None:
        """Return what a validation found; None where a stop was asked for in the middle of it."""
        try:
            # Processes that work together would not all stop at the same place: they see it through.
            with asking(self.should_stop) if self.team.size == 1 else nullcontext():
                scores, samples = self._validate()
        except Stopped:
            return None
        metric = self.config.training.validate_metric
        score = scores[metric] if metric == "loss" else -scores[metric]
        best = score < self.position.best
        if best:
            self.position = replace(self.position, best=score, best_step=self.position.step, bad_validations=0)
        else:
            self.position = replace(self.position, bad_validations=self.position.bad_validations + 1)
        self.position = replace(self.position, validation_due=False)
        return Validated(self.position.step, scores, best, samples, self.position.training_s)

    def _validate(self) -> tuple[dict[str, float], tuple[Sample, ...]]:
        with self.engine.whole(self.model) as model:
            return self.task.validate(model, self.team)

    def _saved(self) -> Saved:
        self.position = replace(self.position, elapsed_s=self._elapsed())
        return Saved(self.position.step, self.keeper.save(self.position, self.since))

    def _finish(self, reason: str) -> Iterator[Event]:
        """Write the run's weights: the mean of the last checkpoints, or the best one, or the last one."""
        step = self.position.step
        steps, best = self.keeper.averaged_steps(step), self.position.best_step
        for number, problem in self.keeper.damaged(steps or [best or step]):
            yield NotUsed(step, problem)
            steps, best = [s for s in steps if s != number], 0
        if steps:
            what = f"mean of steps {steps}"
        elif best:
            steps, what = [best], f"best, step {best}"
        else:
            steps, what = [step], f"last, step {step}"
        yield from self._insist(lambda: self.keeper.write_weights(steps))
        scores: dict[str, float] = {}
        if reason != "interrupted":
            load_weights(self.model, self.run.weights(), part_like)
            scores, _ = self._validate()
        yield Finished(step, reason, self._elapsed(), what, scores, self.position.training_s)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began
