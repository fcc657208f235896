"""What evaluations leave in a run folder: files under evaluations/, named after the test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clearhead.runs.files import replace_file

EVALUATIONS = "evaluations"


def evaluation_path(run: Path, name: str) -> Path:
    """Return where the run folder ``run`` keeps the file ``name`` of an evaluation."""
    return run / EVALUATIONS / name


def keep(path: Path, content: str) -> None:
    """Write one of these files whole, and make their folder where it is the first.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    path.parent.mkdir(exist_ok=True)
    replace_file(path, [content.encode()], len(content.encode()))


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return what an evaluation wrote down, nothing where there is none that is whole."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def as_json(table: dict[str, Any]) -> str:
    """Return a table as a file of JSON holds it."""
    return json.dumps(table, ensure_ascii=False, indent=2) + "\n"
