"""Measuring a peer that is a script of ours, in the peer's environment or, where it needs torch alone, in this one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from runlog import Report

from peers.task import ENVIRONMENTS, Measured, Task, measured, python_of, run

SCRIPTS = {"marian": "marian.py", "torch": "torch_transformer.py", "lstm": "torch_lstm.py"}


def script(task: Task, peer: str, precision: str = "fp32") -> Measured:
    """Measure ``peer``'s script on the prepared batches."""
    described = task.write(task.work / "task.json", precision=precision)
    python = str(python_of(peer)) if peer in ENVIRONMENTS else sys.executable
    peak = run([python, str(Path(__file__).with_name(SCRIPTS[peer])), str(described)], task.work)
    said = json.loads((task.work / "output.txt").read_text(encoding="utf-8").splitlines()[-1])
    reports = [Report(**report) for report in said]
    return measured(task, reports, precision, task.facts()["tokens_per_pair"], peak)
