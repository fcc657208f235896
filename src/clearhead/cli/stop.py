"""Ctrl-C and SIGTERM as a request: the training stops after the update it is in and writes a checkpoint."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_S = 0.5
"""Within so many seconds a second signal is the same wish: who stops a service tells all its processes, and torchrun,
told as well, tells its workers once more."""


def take_signals(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Let ``handler`` hear SIGINT and SIGTERM; return who heard them before, for ``give_back``."""
    if threading.current_thread() is not threading.main_thread():  # Python takes no signals there
        return {}
    return {number: signal.signal(number, handler) for number in SIGNALS}


def give_back(before: dict[signal.Signals, Any]) -> None:
    """Undo what ``take_signals`` has done."""
    for number, handler in before.items():
        signal.signal(number, handler)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM is noted; a later one ends the program."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._received_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Return whether a stop was asked for."""
        return self.received is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 0 where nobody asked."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> Self:
        self._before = take_signals(self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._give_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self._received_at = signal.Signals(number), time.monotonic()
            print("\nstopping after this update; a checkpoint will be written (again: stop at once)", file=sys.stderr)
        elif time.monotonic() - self._received_at > ECHO_S:
            self._give_back()
            if signal.getsignal(number) is signal.SIG_IGN:  # a script's background job does not hear Ctrl-C by itself
                raise KeyboardInterrupt
            signal.raise_signal(number)

    def _give_back(self) -> None:
        give_back(self._before)
        self._before = {}
