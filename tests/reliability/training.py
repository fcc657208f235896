"""A tiny training as a process of its own, and what it leaves in its folder."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("child.py")
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
SETTINGS = {
    "tokenizer.vocabulary_size": 360,
    "model.d_model": 16, "model.d_ff": 32, "model.n_heads": 2, "model.dropout": 0.3,
    "model.n_encoder_layers": 1, "model.n_decoder_layers": 1,
    "training.max_steps": 24, "training.batch_tokens": 300, "training.micro_batch_tokens": 120,
    "training.log_every": 3, "training.validate_every": 5, "training.checkpoint_every": 4,
    "training.schedule": "inverse-sqrt", "training.learning_rate": 0.003, "training.warmup_steps": 2,
    "training.validate_metric": "chrf", "training.validate_sentences": 4, "training.keep_last": 2,
    "training.average_last": 3, "training.patience": 0,
}  # fmt: skip
"""Several micro-batches a step, several epochs, and neither logs, validations nor checkpoints at the same steps."""
TIMES = {"time", "tokens_per_s", "elapsed_s", "remaining_s", "training_s"}


def write_corpus(folder: Path) -> Path:
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(2, 7))) for _ in range(160)]
    (folder / "train.src").write_text("\n".join(lines) + "\n")
    (folder / "train.tgt").write_text("\n".join(" ".join(reversed(line.split())) for line in lines) + "\n")
    return folder


def arguments(corpus: Path, out: Path, **settings: object) -> list[str]:
    """Return a command line that begins the training, or goes on with it where there is something to go on with."""
    files = [f"--src={corpus}/train.src", f"--tgt={corpus}/train.tgt", f"--out={out}", "--threads=2", "--resume"]
    table = {**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}}
    return ["train", *files, *(f"--set={name}={value}" for name, value in table.items())]


def start(plan: dict[str, Any], command: list[str], cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "CLEARHEAD_CACHE": str(cache), "CLEARHEAD_LANG": "en"}
    line = [sys.executable, str(CHILD), json.dumps(plan), *command]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(plan: dict[str, Any], command: list[str], cache: Path) -> tuple[int, str]:
    """Run a command to its end; return its exit code (negative: the signal that ended it) and what it said."""
    process = start(plan, command, cache)
    said = process.communicate(timeout=300)[1]
    return process.returncode, said


def outcome(run: Path) -> dict[str, object]:
    """Return what a training has left, without the times that it took."""
    found: dict[str, object] = {name: digest(run / name) for name in ("model.safetensors", "tokenizer.json")}
    for step in sorted((run / "checkpoints").glob("step-*")):
        for name in ("model.safetensors", "optimizer.safetensors"):
            found[f"{step.name}/{name}"] = digest(step / name)
        found[f"{step.name}/state"] = state_of(step)
    found["log"] = log_of(run)
    return found


def state_of(checkpoint: Path) -> dict[str, Any]:
    content = json.loads((checkpoint / "state.json").read_text())
    del content["state"]["elapsed_s"], content["state"]["training_s"], content["state"]["since"]["seconds"]
    return content


def log_of(run: Path) -> list[dict[str, Any]]:
    """Return the log's events but for those that say that the training was begun or gone on with."""
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in event.items() if name not in TIMES}
        for event in events
        if event["event"] not in ("Started", "CorporaRead")
    ]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
