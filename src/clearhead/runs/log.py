"""The log: one JSON line per event of a training."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

from clearhead.errors import RunError
from clearhead.runs.files import disk_errors, partial_path, replace_file


class EventLog:
    """Appends events to a log, one line each, on disk as soon as written.

    A line that a kill has torn off is cut away first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = _content(path)
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            replace_file(path, [whole], len(whole))

    def write(self, event: Any) -> None:
        """Append ``{"event": <class name>, "time": <seconds since 1970, UTC>, <fields>}``; inf and nan become null.

        Args:
            event: a dataclass instance, such as those of training.events.

        Raises:
            MachineError: the disk is full or cannot be written.
        """
        fields = {"event": type(event).__name__, "time": round(time.time(), 3), **dataclasses.asdict(event)}
        line = json.dumps(_finite(fields), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with disk_errors(self.path, len(line), partial_path(self.path)), open(self.path, "ab") as file:
            file.write(line)

    def rewind(self, step: int) -> None:
        """Drop what lies after ``step``, and the end of a training that now goes on from there.

        What is left is what the log of an uninterrupted training held when its checkpoint of ``step`` had been saved.
        """
        kept = [
            line
            for line, event in _lines(self.path)
            if event.get("step", 0) <= step and event.get("event") != "Finished"
        ]
        content = b"".join(kept)
        replace_file(self.path, [content], len(content))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return a log's events, oldest first; none where there is no log, and a last line that was torn off is left out.

    Raises:
        RunError: a line is not an event.
    """
    return [event for _, event in _lines(path)]


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    found = []
    for number, line in enumerate(_content(path).split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RunError("bad-log-line", path=path, line=number, problem=error) from error
        if not isinstance(event, dict) or type(event.get("step", 0)) is not int:
            raise RunError("bad-log-line", path=path, line=number, problem="no object with a whole step")
        found.append((line + b"\n", event))
    return found


def _content(path: Path) -> bytes:
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
