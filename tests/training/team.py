"""What each process of the distributed tests runs: trainings one after the other, noting every pair and every loss.

    torchrun ... tests/training/team.py SPEC.json

SPEC: {"table": a config, "notes": a folder, "trainings": [{"out": ..., "set": [...], "kill": [rank, step]}, ...]}.
A process writes NOTES/<out's name>.<rank>.<life>.<pid>.jsonl, a line an update: its step and epoch, the loss, and the
target tokens of each pair that it took. "kill": that process kills itself in the midst of that update, in its first
life.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from clearhead.config import make_config
from clearhead.training.events import Progress
from clearhead.training.loop import Training
from clearhead.training.session import open_training
from clearhead.training.update import Outcome, Piece


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    life = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    for each in spec["trainings"]:
        out = Path(each["out"])
        resume = life > 0 or each.get("resume", False)
        training = open_training(make_config(spec["table"], each["set"]), out, resume=resume)
        rank = training.team.rank
        with open(Path(spec["notes"]) / f"{out.name}.{rank}.{life}.{os.getpid()}.jsonl", "w") as notes:
            killed = each.get("kill", [-1, -1])
            watch(training, notes, killed[1] if life == 0 and killed[0] == rank else -1)
            for event in training.events():
                if isinstance(event, Progress) and training.team.leads:
                    print(
                        json.dumps({"loss": event.loss, "step": event.step, "time": time.time()}),
                        file=notes,
                        flush=True,
                    )


def watch(training: Training, notes, kill_at: int) -> None:
    updater, update = training.updater, training.updater.update

    def noted(pieces: Iterable[Piece], tokens: int, step: int, rate: float) -> Outcome:
        pieces = list(pieces)
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = [
            row[mask].tolist()
            for piece in pieces
            if piece.counts
            for row, mask in zip(piece.batch.tgt_output, piece.batch.tgt_mask)
        ]
        line = {"step": step, "epoch": training.position.epoch, "pairs": rows, "time": time.time()}
        print(json.dumps(line), file=notes, flush=True)
        return update(pieces, tokens, step, rate)

    updater.update = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # as the command line does
