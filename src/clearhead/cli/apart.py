"""Work in a process of its own, which hears the signals that this one gets and does not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from types import FrameType

from clearhead.cli.stop import SIGNALS, give_back, take_signals
from clearhead.errors import MachineError


def in_own_process(work: Callable[[], int], name: str) -> int:
    """Return the exit code of ``work``; what goes wrong in it has become one line on stderr and its exit code.

    A new process has a heap that nothing has used before, and ends with all that it holds.

    Args:
        work: can be pickled, and what it returns is an exit code.
        name: what a message calls it.

    Raises:
        MachineError: something killed it.
    """
    process = multiprocessing.get_context("spawn").Process(target=_carry_out, args=(work,))
    process.start()
    _wait(process)
    code = process.exitcode
    assert code is not None
    if -code in SIGNALS:  # it came before anything listened
        return 128 - code
    if code < 0:
        raise MachineError("process-killed", name=name, signal=signal.Signals(-code).name)
    return code


def _wait(process: SpawnProcess) -> None:
    """Wait for the end of ``process``, passing on what this one is told meanwhile."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        if process.pid is not None and process.exitcode is None:
            os.kill(process.pid, number)

    before = take_signals(pass_on)
    try:
        process.join()
    finally:
        give_back(before)


def _carry_out(work: Callable[[], int]) -> None:
    from clearhead.cli import exit_code_of

    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(exit_code_of(work))


def _end_with_parent() -> None:
    """Ask this process to stop when the one that began it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
