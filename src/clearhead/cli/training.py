"""Carrying out a training: progress, log and report listen to its events; train and demo share this."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.cli.progress import ProgressDisplay
from clearhead.cli.report import report
from clearhead.cli.stop import StopRequest
from clearhead.config import RunConfig, Source
from clearhead.errors import ClearheadError
from clearhead.runs.checkpoints import checkpoint_path
from clearhead.runs.files import hold_folder
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.training.events import Event, Finished, Saved, Validated
from clearhead.training.loop import Training
from clearhead.training.schedule import doubts
from clearhead.training.session import open_training


@dataclass(frozen=True)
class CorporaRead:
    """What became of every line, for the log: ``LostPairs.to_dict()`` of both corpora, before the update ``step``."""

    step: int
    train: dict[str, Any]
    valid: dict[str, Any]


@dataclass(frozen=True)
class WeightsTaken:
    """What a run began from, for the log.

    taken: each of its own tensors that another's was put into, and what that is called there; left: the others, and
    why; unlike: settings with which the other computes something else from the same weights.
    """

    step: int
    path: str
    taken: dict[str, str]
    left: dict[str, str]
    unlike: dict[str, str]


def carry_out(
    config: RunConfig,
    out: Path,
    *,
    resume: bool,
    overwrite: bool,
    device: str,
    threads: int | None,
    label: str = "training",
    again: str = "clearhead train --resume --out {out}",
) -> int:
    """Train, telling stderr, the log and the report what happens; return the exit code: 0, 130 or 143.

    Args:
        config, out, resume, overwrite, device: see ``open_training``.
        threads: processor threads; None for as many as there are.
        label: what stands beside the bar.
        again: the command that goes on with a training that was stopped.

    Raises:
        ClearheadError: whatever is wrong with config, corpora, run folder or machine.
    """
    if threads:
        import torch

        torch.set_num_threads(threads)
    with hold_folder(out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        return _train(config, out, resume, overwrite, device, label, again)


def _train(config: RunConfig, out: Path, resume: bool, overwrite: bool, device: str, label: str, again: str) -> int:
    stop = StopRequest()
    training = open_training(
        config,
        out,
        resume=resume,
        overwrite=overwrite,
        device=device,
        should_stop=stop,
        on_tokenised=_show_tokenised if sys.stderr.isatty() else None,
    )
    if not training.team.leads:  # the first process speaks for all
        with stop:
            for _ in training.events():
                pass
        return stop.exit_code
    for line in opening_lines(training):
        print(line, file=sys.stderr)
    record = Record(training.run, _begin_log(training))
    with stop, ProgressDisplay(label) as display:
        for event in training.events():
            record(event)
            display(event)
    record.close()
    if stop():
        print(f"stopped; to go on: {again.format(out=out)}", file=sys.stderr)
    return stop.exit_code


class Record:
    """A training's log and report. A disk that does not take them does not end the training; it is told, once.

    Args:
        log: keeps what it cannot write, and writes it before the next event.
    """

    def __init__(self, run: RunFolder, log: EventLog) -> None:
        self.run = run
        self.log = log
        self.failing = False

    def __call__(self, event: Event) -> None:
        """Write ``event`` down."""
        try:
            self.log.write(event)
            if isinstance(event, (Validated, Finished)):
                report(self.run)
            self.failing = False
        except ClearheadError as error:
            if not self.failing:
                print(f"not written: {error.message()}; the training goes on, tried again later", file=sys.stderr)
            self.failing = True

    def close(self) -> None:
        """Write what is still missing.

        Raises:
            ClearheadError: it cannot be written now either.
        """
        if self.failing:
            self.log.flush()
            report(self.run)


def _begin_log(training: Training) -> EventLog:
    """Open the log where the training stands, and note what its corpora are."""
    log, step, corpora = EventLog(training.run.log_path), training.position.step, training.task.corpora
    damaged = log.rewind(step)
    if damaged:
        print(f"not used: {damaged} damaged lines at the end of {log.path}", file=sys.stderr)
    saved = {event["step"] for event in read_log(log.path) if event["event"] == "Saved"}
    if step and step not in saved:  # a kill came between the checkpoint and its line
        log.write(Saved(step, str(checkpoint_path(training.run, step).relative_to(training.run.path))))
    log.write(CorporaRead(step, corpora.lost.to_dict(), corpora.valid_lost.to_dict()))
    for path, taken in training.taken:
        log.write(WeightsTaken(step, path, taken.taken, taken.left, taken.unlike))
    return log


def opening_lines(training: Training) -> list[str]:
    """Return what a user should know before the first step: what became of every line, and what computes."""
    corpora, device = training.task.corpora, training.device
    lines = [f"training pairs: {corpora.lost.line()}"]
    if corpora.held_out:
        lines.append(f"validation pairs: {corpora.held_out:,} held out of training")
    else:
        lines.append(f"validation pairs: {corpora.valid_lost.line()}")
    if corpora.train.cut:
        limit = training.config.data.max_tokens
        lines.append(f"cut to {limit} tokens (data.max_tokens): {corpora.train.cut:,} training texts")
    lines += [f"not used: {fault}" for fault in training.damaged]
    lines += [f"from {path}: {taken.line()}" for path, taken in training.taken]
    lines += doubts(training.config.training, training.config.model.d_model)
    lines.append(f"{device.precision} on {device.name}: {device.reason}; {training.kernels}")
    return lines


def _show_tokenised(source: Source, pairs: int) -> None:
    print(f"\rtokenised {pairs:,} pairs", end="", file=sys.stderr, flush=True)
