"""A real ``clearhead``, to which something happens at a place that the test chose. Not a test.

    python child.py PLAN ARGUMENTS...

PLAN is JSON: {"place": "piece", "call": 7, "signals": ["SIGKILL"], "mark": "file"}. At the 7th call of that place the
process writes ``mark`` and sends itself the signals; a number among them is seconds to wait. Without "place" it only
counts, and leaves the counts in ``mark``.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

PLAN: dict[str, Any] = {}
COUNTS: Counter[str] = Counter()


def reach(place: str) -> None:
    """Note that ``place`` is reached, and let happen what is to happen there."""
    COUNTS[place] += 1
    if place == PLAN.get("place") and COUNTS[place] == PLAN["call"]:
        leave_mark({"place": place, "call": PLAN["call"]})
        for name in PLAN["signals"]:
            if isinstance(name, str):
                os.kill(os.getpid(), getattr(signal, name))
            else:
                time.sleep(name)


def leave_mark(content: object) -> None:
    with open(PLAN["mark"], "w") as file:
        json.dump(content, file)


def reaching(place: str, function: Callable[..., Any], after: bool = False) -> Callable[..., Any]:
    """Return ``function`` as a place, reached before it does anything or when all is done."""

    def reached(*args: Any, **kwargs: Any) -> Any:
        if after:
            result = function(*args, **kwargs)
            reach(place)
            return result
        reach(place)
        return function(*args, **kwargs)

    return reached


class HalfWritten:
    """A file of a checkpoint; what happens in the middle of a write finds half of it on the disk."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> HalfWritten:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, chunk: Any) -> None:
        chunk = bytes(chunk)
        self.file.write(chunk[: len(chunk) // 2])
        self.file.flush()
        reach("write")
        self.file.write(chunk[len(chunk) // 2 :])


def open_half_written(path: Any, mode: str = "r", **more: Any) -> Any:
    file = builtins.open(path, mode, **more)  # noqa: SIM115 - whoever opens it closes it
    return HalfWritten(file) if "x" in mode else file


def patch() -> None:
    """Turn what a training does into places."""
    import torch

    from clearhead.models.transformer import Transformer
    from clearhead.runs import files
    from clearhead.runs.log import EventLog
    from clearhead.training import keeping, loop, update

    loop.SAVE_PAUSES_S = tuple(PLAN.get("pauses", loop.SAVE_PAUSES_S))
    update.derive_seed = reaching("piece", update.derive_seed)  # once a micro-batch
    torch.optim.Adam.step = reaching("updated", torch.optim.Adam.step, after=True)  # before the gradients are dropped
    Transformer.step = reaching("decode", Transformer.step)  # only validation decodes
    keeping.prune = reaching("prune", keeping.prune)
    EventLog.write = reaching("logged", EventLog.write, after=True)
    files.open = open_half_written
    os.fsync = reaching("fsync", os.fsync)
    os.rename = reaching("rename", os.rename)
    os.replace = reaching("replace", os.replace)
    os.unlink = reaching("unlink", os.unlink)


if __name__ == "__main__":
    PLAN = json.loads(sys.argv[1])
    patch()
    from clearhead.cli import run

    code = run(sys.argv[2:])
    if "place" not in PLAN:
        leave_mark(COUNTS)
    sys.exit(code)
