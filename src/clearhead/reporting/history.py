"""What a run's events amount to: curves, samples and where the training stands."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Event = dict[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Saying:
    """What the model said of a sentence at one validation, or at several in a row that said the same."""

    first_step: int
    last_step: int
    hyp: str


@dataclass
class SampleHistory:
    """One validation sentence, and what the model said of it, newest first."""

    src: str
    ref: str
    sayings: list[Saying] = field(default_factory=list)


UNITS = ("target tokens", "texts", "tokens", "hidden tokens")
"""What tasks count; the page has words for these."""


class History:
    """A run's events, sorted out.

    Args:
        events: as ``log.jsonl`` holds them: {"event": class name, "time": seconds since 1970, fields of the class}.
            The log of a run that still goes on, or an empty one, will do.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = list(events)
        self.started = self._last("Started")
        self.progress = [event for event in self.events if event["event"] == "Progress"]
        self.validated = [event for event in self.events if event["event"] == "Validated"]
        self.skipped = sum(event["event"] == "Skipped" for event in self.events)
        # A training that was resumed after its end goes on.
        ended = [event for event in self.events if event["event"] in ("Started", "Finished")]
        self.finished: Event = ended[-1] if ended and ended[-1]["event"] == "Finished" else {}

    @property
    def step(self) -> int:
        """The newest step that any event tells of."""
        return max((event.get("step", 0) for event in self.events), default=0)

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far."""
        newest = self.finished or (self.progress[-1] if self.progress else {})
        return number(newest.get("elapsed_s", 0.0))

    @property
    def unit(self) -> str:
        """What is counted and losses are means over; an older log does not say, and was of a translation."""
        unit = self.progress[-1].get("unit") if self.progress else ""
        return unit if unit in UNITS else UNITS[0]

    @property
    def tokens_per_s(self) -> float:
        """The median of the speeds; not a number where there is none."""
        speeds = [number(event.get("tokens_per_s")) for event in self.progress]
        return median([speed for speed in speeds if math.isfinite(speed)] or [math.nan])

    def curve(self, name: str) -> list[Point]:
        """Return (step, value) of a field of Progress."""
        return [(event["step"], number(event.get(name))) for event in self.progress]

    def score_curve(self, name: str) -> list[Point]:
        """Return (step, value) of a validation score."""
        return [(event["step"], number(event["scores"][name])) for event in self.validated if name in event["scores"]]

    def best(self) -> Event:
        """Return the validation that is the best so far by the run's metric; empty where there is none."""
        return next((event for event in reversed(self.validated) if event.get("best")), {})

    def samples(self) -> list[SampleHistory]:
        """Return the sample sentences in the order of the newest validation, each with what was said of it."""
        found: dict[tuple[str, str], SampleHistory] = {}
        for event in reversed(self.validated):
            for sample in event.get("samples", ()):
                src, ref, hyp = sample["src"], sample["ref"], sample["hyp"]
                sayings = found.setdefault((src, ref), SampleHistory(src, ref)).sayings
                last_step = event["step"]
                if sayings and sayings[-1].hyp == hyp:
                    last_step = sayings.pop().last_step
                sayings.append(Saying(event["step"], last_step, hyp))
        return list(found.values())

    def _last(self, kind: str) -> Event:
        return next((event for event in reversed(self.events) if event["event"] == kind), {})


def number(value: Any) -> float:
    """Return a logged number; what was not finite is logged as null and comes back as not a number."""
    return math.nan if value is None else float(value)
