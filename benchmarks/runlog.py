"""What a program's log says of its speed: reports, and the window between two of them. Loads no torch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from clearhead.runs.log import read_log


class Report(NamedTuple):
    """What a program says of itself since its last report.

    tokens_per_s: target tokens a second; tokens: how many those were, 0 where it does not say.
    """

    step: int
    at_s: float
    tokens_per_s: float
    tokens: int = 0


class Window(NamedTuple):
    """The updates between two reports."""

    updates: int
    tokens: float
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


def reports_of(log: Path) -> list[Report]:
    """Return the reports in a run folder's log.jsonl."""
    said = [event for event in read_log(log) if event["event"] == "Progress"]
    return [Report(event["step"], event["elapsed_s"], event["tokens_per_s"], event.get("tokens", 0)) for event in said]


def window_of(reports: list[Report], first: int, last: int, every: int) -> Window:
    """Return the window after update ``first`` up to update ``last``.

    Raises:
        ValueError: there is not one report each ``every`` updates from ``first`` to ``last``.
    """
    window = [report for report in reports if first <= report.step <= last]
    if [report.step for report in window] != list(range(first, last + 1, every)):
        raise ValueError(f"reports of steps {[report.step for report in reports]}: the window is not covered")
    tokens = sum(late.tokens or late.tokens_per_s * (late.at_s - early.at_s) for early, late in pairwise(window))
    return Window(last - first, tokens, window[-1].at_s - window[0].at_s)
