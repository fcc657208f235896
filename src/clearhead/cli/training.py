"""Carrying out a training: progress, log and report listen to its events; train and demo share this."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from clearhead.cli.progress import ProgressDisplay
from clearhead.cli.stop import StopRequest
from clearhead.config import RunConfig, Source
from clearhead.errors import locale_language
from clearhead.reporting.report import write_report
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.training.events import Finished, Validated
from clearhead.training.loop import Training
from clearhead.training.session import open_training


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
    for line in opening_lines(training):
        print(line, file=sys.stderr)
    log = EventLog(training.run.log_path)
    log.rewind(training.position.step)
    with stop, ProgressDisplay() as display:
        for event in training.events():
            log.write(event)
            display(event)
            if isinstance(event, (Validated, Finished)):
                report(training.run, lost=training.corpora.lost.to_dict())
    if stop():
        print(f"stopped; to go on: clearhead train --resume --out {out}", file=sys.stderr)
    return stop.exit_code


def report(run: RunFolder, scores: dict[str, Any] | None = None, lost: dict[str, Any] | None = None) -> None:
    """Write the run's report anew from its log, in the language of messages.

    scores: of a test set; lost: what became of the training lines.
    """
    languages = f"{run.config.languages.src}-{run.config.languages.tgt}"
    title = f"{run.path.name} ({languages})"
    config = run.config.model_dump(mode="json")
    write_report(run.report_path, title, config, read_log(run.log_path), scores, lost, locale_language())


def opening_lines(training: Training) -> list[str]:
    """Return what a user should know before the first step: what became of every line, and what computes."""
    corpora, device = training.corpora, training.device
    lines = [f"training pairs: {corpora.lost.line()}"]
    if corpora.held_out:
        lines.append(f"validation pairs: {corpora.held_out:,} held out of training")
    else:
        lines.append(f"validation pairs: {corpora.valid_lost.line()}")
    lines += [f"not used: {fault}" for fault in training.damaged]
    lines.append(f"{device.precision} on {device.name}: {device.reason}")
    return lines


def _show_tokenised(source: Source, pairs: int) -> None:
    print(f"\rtokenised {pairs:,} pairs", end="", file=sys.stderr, flush=True)
