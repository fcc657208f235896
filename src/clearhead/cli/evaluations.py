"""What evaluations leave in a run folder: files under evaluations/, named after the test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EVALUATIONS = "evaluations"


def evaluation_path(run: Path, name: str) -> Path:
    """Return where the run folder ``run`` keeps the file ``name`` of an evaluation."""
    return run / EVALUATIONS / name


def keep(path: Path, content: str) -> None:
    """Write one of these files, and make their folder where it is the first."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="\n")


def as_json(table: dict[str, Any]) -> str:
    """Return a table as a file of JSON holds it."""
    return json.dumps(table, ensure_ascii=False, indent=2) + "\n"
