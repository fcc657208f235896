"""What is said of progress on stderr: a bar where a person looks on, plain lines where a file does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from clearhead.errors import text
from clearhead.training.events import (
    Event,
    Finished,
    NotUsed,
    Progress,
    Saved,
    SaveFailed,
    Skipped,
    Started,
    Validated,
)


class ProgressDisplay:
    """Shows training events; used as ``with ProgressDisplay() as display: display(event)``."""

    def __init__(self, label: str = "training") -> None:
        self.label = label
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=Console(stderr=True, highlight=False),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self.task: TaskID | None = None
        self.validations = 0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Show ``event``."""
        self.validations += isinstance(event, Validated)
        if isinstance(event, Started):
            self.task = self.bar.add_task(self.label, total=event.max_steps, completed=event.step, numbers="")
        if isinstance(event, Progress) and self.task is not None:
            self.bar.update(self.task, completed=event.step, numbers=numbers(event))
            if not self.bar.disable:
                return
        for line in lines(event, self.validations):
            self.bar.console.print(line, markup=False, soft_wrap=True)


def counter(total: int, unit: str) -> Callable[[int], None]:
    """Return what says how many of ``total`` are done: on one line, where a person looks on."""

    def show(count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{count:,} of {total:,} {unit}", end="", file=sys.stderr, flush=True)

    return show


def _machinery(event: Started) -> str:
    processes = f"{event.processes} processes, each " if event.processes > 1 else ""
    return f"{processes}{event.threads} {'thread' if event.threads == 1 else 'threads'}"


def _minutes(event: Started) -> str:
    return f", for {event.max_minutes:g} minutes at most" if event.max_minutes else ""


def numbers(event: Progress) -> str:
    """Return the figures that stand beside the bar."""
    return f"loss {event.loss:.3f}  {event.tokens_per_s:,.0f} {event.unit}/s  {clock(event.remaining_s)} left"


def lines(event: Event, validations: int = 0) -> list[str]:
    """Return what there is to say about ``event``, in lines; each of the ``validations`` shows another sample."""
    match event:
        case Started():
            frozen = f", {event.frozen:,} of them frozen" if event.frozen else ""
            return [
                f"{event.parameters:,} parameters{frozen}; {event.train_pairs:,} training and "
                f"{event.valid_pairs:,} validation pairs; {_machinery(event)}; "
                f"from step {event.step} to {event.max_steps}{_minutes(event)}"
            ]
        case Progress():
            return [f"step {event.step}  epoch {event.epoch}  {numbers(event)}"]
        case Validated():
            scores = "  ".join(f"{name} {value:.3f}" for name, value in event.scores.items())
            said = [f"step {event.step}  validation  {scores}{'  (best so far)' if event.best else ''}"]
            if event.samples:
                sample = event.samples[validations % len(event.samples)]
                said += [f"    src  {sample.src}", f"    ref  {sample.ref}", f"    hyp  {sample.hyp}"]
            return said
        case Skipped():
            pairs = ", ".join(event.pairs)
            where = f"batch {event.batch} of epoch {event.epoch}, pairs {pairs}"
            return [f"step {event.step}  skipped: {event.reason} ({where})"]
        case SaveFailed():
            again = f"the former checkpoint stays; trying again in {event.pause_s:g} s"
            return [f"step {event.step}  not saved: {event.problem}; {again}"]
        case NotUsed():
            return [f"not used: {event.problem}"]
        case Saved():
            return []
        case Finished():
            return [f"finished at step {event.step} ({event.reason}) after {clock(event.elapsed_s)}: {event.weights}"]


def clock(seconds: float) -> str:
    """Return ``seconds`` as h:mm:ss or m:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


@contextmanager
def warnings_as_lines(most: int = sys.maxsize) -> Iterator[None]:
    """Let each warning of the package be one line on stderr; after ``most`` of them the others are only counted."""
    said = 0

    def say(message: Warning | str, *_: object, **__: object) -> None:
        nonlocal said
        said += 1
        if said <= most:
            print(f"clearhead: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield
    if said > most:
        print(f"clearhead: {text('more-warnings', more=said - most)}", file=sys.stderr)
