"""What a training keeps on the disk: checkpoints that all its processes write as one, and the run's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TypeVar

from torch import nn
from torch.optim import Optimizer

from clearhead.config import TrainingConfig
from clearhead.errors import MachineError, RunError, TrainingError
from clearhead.models.build import load_weights, named_weights
from clearhead.runs.checkpoints import (
    average_weights,
    begin_checkpoint,
    check_checkpoint,
    checkpoint_path,
    finish_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    prune,
    write_part,
)
from clearhead.runs.faults import FaultsError
from clearhead.runs.files import Stamp
from clearhead.runs.folder import RunFolder
from clearhead.runs.tensors import check_weights
from clearhead.training.distributed import Team, own_parts, part_like
from clearhead.training.optimizer import check_optimizer, load_optimizer, optimizer_tensors
from clearhead.training.position import Position, Tally, from_state, to_state

Written = TypeVar("Written")


class Keeper:
    """The checkpoints of a training, for all its processes; each method is called by every one of them.

    Args:
        run: the run folder.
        config: how many checkpoints stay, and of how many the weights are the mean.
        model, optimizer: what is saved and gone on with.
        team: the processes.
        files: so many of them write a part of a checkpoint each.
    """

    def __init__(
        self, run: RunFolder, config: TrainingConfig, model: nn.Module, optimizer: Optimizer, team: Team, files: int
    ) -> None:
        self.run = run
        self.config = config
        self.model = model
        self.optimizer = optimizer
        self.team = team
        self.files = files

    def load(self) -> tuple[Position, Tally, list[str]] | None:
        """Go on from the newest whole checkpoint; the first process looks which that is.

        Returns:
            where it stands, the sums since its last progress, and what is wrong with newer ones; None without any.

        Raises:
            FaultsError: there are checkpoints and none is whole.
            RunError: it belongs to another model.
        """
        path, damaged = latest_checkpoint(self.run) if self.team.leads else (None, [])
        if damaged and path is None:  # to begin anew would be to give up what may still be saved
            raise FaultsError("no-whole-checkpoint", damaged, path=self.run.checkpoints_path)
        name = self.team.agree(path and path.name)
        if name is None:
            return None
        checkpoint = load_checkpoint(self.run.checkpoints_path / name)
        check_weights(checkpoint.weights, named_weights(self.model))
        load_weights(self.model, checkpoint.weights, part_like)
        check_optimizer(self.model, checkpoint.optimizer)
        load_optimizer(self.model, self.optimizer, checkpoint.optimizer)
        return *from_state(checkpoint.state), [error.message() for error in damaged]

    def save(self, position: Position, since: Tally) -> str:
        """Write a checkpoint and remove what is not kept any more; return where it lies within the run folder.

        The first process makes and names it, each one writes what it holds.

        Raises:
            MachineError: the disk failed one of them; the last good checkpoint is still there.
            TrainingError: what one of them holds is not finite; likewise.
        """
        step, team = position.step, self.team
        weights = own_parts(named_weights(self.model), team)
        optimizer = own_parts(optimizer_tensors(self.model, self.optimizer), team)
        self._together(lambda: begin_checkpoint(self.run, step), team.leads)
        write = partial(write_part, self.run, step, weights, optimizer, team.rank, self.files)
        stamps = self._together(write, team.rank < self.files) or {}
        all_stamps = team.gather({name: asdict(stamp) for name, stamp in stamps.items()})
        whole = {name: Stamp(**stamp) for part in all_stamps for name, stamp in part.items()}
        state = to_state(position, since)
        self._together(lambda: finish_checkpoint(self.run, step, whole, state), team.leads)
        protected = {position.best_step, *self.averaged_steps(step)}
        self._together(lambda: prune(self.run, self.config.keep_last, protected, step), team.leads)
        return str(checkpoint_path(self.run, step).relative_to(self.run.path))

    def averaged_steps(self, step: int) -> list[int]:
        """Return the steps whose checkpoints make up the mean after ``step``: the last ones at regular distance."""
        every, count = self.config.checkpoint_every, self.config.average_last
        last = step // every
        return [number * every for number in range(max(1, last - count + 1), last + 1)]

    def damaged(self, steps: list[int]) -> list[tuple[int, str]]:
        """Return which steps' checkpoints are not whole any more, and what is wrong with them."""
        found = []
        for step in steps if self.team.leads else ():
            try:
                check_checkpoint(checkpoint_path(self.run, step))
            except RunError as error:
                found.append((step, error.message()))
        return self.team.agree(found)

    def write_weights(self, steps: list[int]) -> None:
        """Write the run's weights, the mean of these steps' checkpoints.

        Raises:
            MachineError: as ``save``; the weights from before are still there.
        """
        paths = [checkpoint_path(self.run, step) for step in steps]
        self._together(lambda: self.run.write_weights(average_weights(paths)), self.team.leads)

    def _together(self, write: Callable[[], Written], mine: bool) -> Written | None:
        """Write what is this process's to write; what fails in one process fails in all, so that all try again."""
        written, error = None, None
        try:
            written = write() if mine else None
        except (MachineError, TrainingError) as caught:
            error = caught
        said = self.team.gather(error and [isinstance(error, TrainingError), error.message()])
        for final, problem in sorted(filter(None, said), reverse=True):  # first what no further try could mend
            kind = TrainingError if final else MachineError
            raise error if isinstance(error, kind) else kind("elsewhere", problem=problem)
        return written
