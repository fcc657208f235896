"""A plain training loop, for peers that are a model and no program. Runs in a peer's environment: torch alone.

Teacher forcing over the batches that prepare.py wrote, one forward and one backward pass and one optimizer step each.
The reading and padding of a batch lies within the loop, as it does in the others' figures.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

Rows = list[list[int]]


def pad(rows: Iterable[list[int]], value: int) -> Tensor:
    """Return rows of ids as (B, L), ``value`` behind each row's end."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def read_batches(path: Path) -> Iterator[tuple[Rows, Rows]]:
    with open(path) as file:
        for line in file:
            batch = json.loads(line)
            yield batch["src"], batch["tgt"]


def train(
    task: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Callable[[Rows, Rows], Tensor]
) -> list[dict[str, float]]:
    """Train on every batch and return a report for each ``report_every`` updates: step, at_s, tokens_per_s."""
    reports: list[dict[str, float]] = []
    model.train()
    tokens, since = 0, time.perf_counter()
    for step, (src, tgt) in enumerate(read_batches(Path(task["prepared"]) / "batches.jsonl"), 1):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=task["precision"] == "bf16"):
            loss = loss_of(src, tgt)
        loss.backward()
        optimizer.step()
        tokens += sum(map(len, tgt))
        if step % task["report_every"] == 0:
            loss.item()
            now = time.perf_counter()
            reports.append({"step": step, "at_s": now, "tokens_per_s": tokens / (now - since)})
            tokens, since = 0, now
    return reports


def main(make: Callable[[dict[str, Any], dict[str, Any]], tuple]) -> None:
    """Train what ``make(recipe, facts)`` returns, (model, optimizer, loss of a batch), on the task named first."""
    task = json.loads(Path(sys.argv[1]).read_text())
    facts = json.loads((Path(task["prepared"]) / "facts.json").read_text())
    torch.manual_seed(task["seed"])
    print(json.dumps(train(task, *make(task["recipe"], facts))))
