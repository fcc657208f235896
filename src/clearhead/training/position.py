"""Where a training stands, apart from its tensors: what a checkpoint's state holds."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from clearhead.errors import RunError
from clearhead.runs.checkpoints import STATE
from clearhead.training.update import Outcome


@dataclass(frozen=True)
class Position:
    """Where a training stands, apart from its tensors and the sums since the last progress.

    step: updates made; epoch, batch: the next batch is number ``batch`` of epoch ``epoch``.
    best_step, best: the best validation so far and its score (smaller is better); bad_validations: since then.
    validation_due: the step asks for a validation that a stop did not wait for.
    skipped: updates in a row that were not finite; elapsed_s: time spent so far; training_s: the updates' part of it.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_step: int = 0
    best: float = math.inf
    bad_validations: int = 0
    validation_due: bool = False
    skipped: int = 0
    elapsed_s: float = 0.0
    training_s: float = 0.0


@dataclass
class Tally:
    """Sums over the updates since the last progress event; a checkpoint keeps them, so that the next one is whole."""

    began: float
    steps: int = 0
    tokens: int = 0
    loss: float = 0.0
    nll: float = 0.0
    grad_norm: float = 0.0

    @classmethod
    def begin(cls) -> Tally:
        """Return an empty tally that begins now."""
        return cls(time.perf_counter())

    def add(self, outcome: Outcome) -> None:
        """Count one update in."""
        self.steps += 1
        self.tokens += outcome.tokens
        self.loss += outcome.loss
        self.nll += outcome.nll
        self.grad_norm += outcome.grad_norm


def to_state(position: Position, since: Tally) -> dict[str, Any]:
    """Return what a checkpoint's state holds: the position, and the sums with the seconds that they took."""
    sums = {name: value for name, value in asdict(since).items() if name != "began"}
    return {**asdict(position), "since": {"seconds": time.perf_counter() - since.began, **sums}}


def from_state(state: dict[str, Any]) -> tuple[Position, Tally]:
    """Return what ``to_state`` was given, as if no time had passed since. What an older version did not keep is 0.

    Raises:
        RunError: it is not a training's state.
    """
    table = dict(state)
    sums = table.pop("since", {})
    position = Position(**_checked(table, Position()))
    sums = _checked(sums, Tally(0.0), {"seconds": 0.0})
    return position, Tally(time.perf_counter() - sums.pop("seconds", 0.0), **sums)


def _checked(table: Any, pattern: Position | Tally, more: dict[str, float] | None = None) -> dict[str, Any]:
    """Return ``table`` if it names fields of ``pattern`` (and of ``more``) alone, and values of their kind."""
    known = {each.name: type(getattr(pattern, each.name)) for each in fields(pattern) if each.name != "began"}
    known |= {name: type(value) for name, value in (more or {}).items()}
    if not isinstance(table, dict):
        raise RunError("bad-state", name=STATE, entry="since")
    for name, value in table.items():
        right = name in known and type(value) is known[name]
        if right and isinstance(value, int):
            right = 0 <= value < 2**53
        elif right:  # before the first validation the best is infinite
            right = math.isfinite(value) or (name == "best" and value == math.inf)
        if not right:
            raise RunError("bad-state", name=STATE, entry=name)
    return table
