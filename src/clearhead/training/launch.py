"""What a launch of torchrun has begun: its restarts go on with that, and with no run that was there before."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from clearhead.runs.files import disk_errors, partial_path


def begun(out: Path) -> bool:
    """Return whether this launch has made, or gone on with, the run ``out``; False where torchrun has no part in it.

    torchrun gives each launch a folder of its own on each machine, which its restarts share; a file in it is the mark.
    """
    mark = _mark(out)
    if mark is None:  # under --log-dir /dev/null there is none: then whatever is there counts as begun by the first try
        return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    return mark.exists()


def note_begun(out: Path) -> None:
    """Note, for the restarts of this launch, that ``out`` is what it trains.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    if mark := _mark(out):
        with disk_errors(mark, 0, partial_path(mark)):
            mark.touch()


def _mark(out: Path) -> Path | None:
    said = os.environ.get("TORCHELASTIC_ERROR_FILE")  # FOLDER/attempt_N/RANK/error.json
    if not said:
        return None
    return Path(said).parents[2] / f"clearhead-{hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]}"
