"""Measuring a peer that is a script of ours (marian.py, torch_transformer.py) in the peer's environment."""

from __future__ import annotations

import json
from pathlib import Path

from runlog import Report

from peers.task import Measured, Task, measured, python_of, run

SCRIPTS = {"marian": "marian.py", "torch": "torch_transformer.py"}


def script(task: Task, peer: str, precision: str = "fp32") -> Measured:
    """Measure ``peer``'s script on the prepared batches."""
    described = task.write(task.work / "task.json", precision=precision)
    peak = run([str(python_of(peer)), str(Path(__file__).with_name(SCRIPTS[peer])), str(described)], task.work)
    said = json.loads((task.work / "output.txt").read_text(encoding="utf-8").splitlines()[-1])
    reports = [Report(**report) for report in said]
    return measured(task, reports, precision, task.facts()["tokens_per_pair"], peak)
