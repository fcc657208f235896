"""Carrying out a training: progress, log and report listen to its events; train and demo share this."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearhead.cli.progress import ProgressDisplay
from clearhead.cli.report import report
from clearhead.cli.stop import StopRequest
from clearhead.config import RunConfig, Source
from clearhead.runs.log import EventLog
from clearhead.training.events import Finished, Validated
from clearhead.training.loop import Training
from clearhead.training.session import open_training


@dataclass(frozen=True)
class CorporaRead:
    """What became of every line, for the log: ``LostPairs.to_dict()`` of both corpora, before the update ``step``."""

    step: int
    train: dict[str, Any]
    valid: dict[str, Any]


def carry_out(config: RunConfig, out: Path, *, resume: bool, overwrite: bool, device: str, threads: int | None) -> int:
    """Train, telling stderr, the log and the report what happens; return the exit code: 0, 130 or 143.

    Raises:
        ClearheadError: whatever is wrong with config, corpora, run folder or machine.
    """
    if threads:
        import torch

        torch.set_num_threads(threads)
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
    log = EventLog(training.run.log_path)
    log.rewind(training.position.step)
    corpora = training.corpora
    log.write(CorporaRead(training.position.step, corpora.lost.to_dict(), corpora.valid_lost.to_dict()))
    with stop, ProgressDisplay() as display:
        for event in training.events():
            log.write(event)
            display(event)
            if isinstance(event, (Validated, Finished)):
                report(training.run)
    if stop():
        print(f"stopped; to go on: clearhead train --resume --out {out}", file=sys.stderr)
    return stop.exit_code


def opening_lines(training: Training) -> list[str]:
    """Return what a user should know before the first step: what became of every line, and what computes."""
    corpora, device = training.corpora, training.device
    lines = [f"training pairs: {corpora.lost.line()}"]
    if corpora.held_out:
        lines.append(f"validation pairs: {corpora.held_out:,} held out of training")
    else:
        lines.append(f"validation pairs: {corpora.valid_lost.line()}")
    lines += [f"not used: {fault}" for fault in training.damaged]
    lines.append(f"{device.precision} on {device.name}: {device.reason}; {training.kernels}")
    return lines


def _show_tokenised(source: Source, pairs: int) -> None:
    print(f"\rtokenised {pairs:,} pairs", end="", file=sys.stderr, flush=True)
