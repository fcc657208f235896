"""The log: one JSON line per event of a training."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from clearhead.errors import RunError
from clearhead.runs.files import check_regular, disk_errors, partial_path, replace_file


class EventLog:
    """Appends events to a log, one line each, on disk as soon as written.

    A line that a kill has torn off is cut away first. What cannot be written is kept, and goes out before the next one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting = b""
        content = _content(path)
        whole = content[: content.rfind(b"\n") + 1]
        self._end = len(whole)
        if whole != content:
            replace_file(path, [whole], len(whole))

    def write(self, event: Any) -> None:
        """Append ``{"event": <class name>, "time": <seconds since 1970, UTC>, <fields>}``; inf and nan become null.

        Args:
            event: a dataclass instance, such as those of training.events.

        Raises:
            MachineError: the disk is full or cannot be written; the event is not lost but waits.
        """
        fields = {"event": type(event).__name__, "time": round(time.time(), 3), **dataclasses.asdict(event)}
        self._waiting += json.dumps(_finite(fields), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            MachineError: the disk is full or cannot be written.
        """
        if not self._waiting:
            return
        with disk_errors(self.path, len(self._waiting), partial_path(self.path)), open(self.path, "ab") as file:
            if file.tell() > self._end:  # half of a line that a full disk has cut off
                file.truncate(self._end)
            file.write(self._waiting)
            file.flush()
            os.fsync(file.fileno())
        self._end += len(self._waiting)
        self._waiting = b""

    def rewind(self, step: int) -> int:
        """Drop what lies after ``step``, and the end of a training that now goes on from there.

        What is left is what the log of an uninterrupted training held when its checkpoint of ``step`` had been saved.

        Returns:
            How many lines were dropped because they are no events: what a power loss leaves of the last ones.
        """
        events = [(line, _event(line)) for line in _split(_content(self.path))]
        kept = [
            line
            for line, event in events
            if not isinstance(event, str) and event.get("step", 0) <= step and event.get("event") != "Finished"
        ]
        content = b"".join(kept)
        replace_file(self.path, [content], len(content))
        self._end = len(content)
        return sum(isinstance(event, str) for _, event in events)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return a log's events, oldest first; none where there is no log, and a last line that was torn off is left out.

    Raises:
        RunError: a line is not an event.
    """
    return [event for _, event in _lines(path)]


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    found = []
    for number, line in enumerate(_split(_content(path)), start=1):
        event = _event(line)
        if isinstance(event, str):
            raise RunError("bad-log-line", path=path, line=number, problem=event)
        found.append((line, event))
    return found


def _event(line: bytes) -> dict[str, Any] | str:
    """Return a line's event, or what is wrong with it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        return str(error)
    if not isinstance(event, dict) or type(event.get("step", 0)) is not int:
        return "no object with a whole step"
    return event


def _split(content: bytes) -> list[bytes]:
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def _content(path: Path) -> bytes:
    if os.path.lexists(path):
        check_regular(path)  # a pipe would be waited for without end
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror) from error


def _finite(value: Any) -> Any:
    """Return ``value`` with null in the place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
