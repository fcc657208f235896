"""A run folder is data: whatever is in it, it loads or is refused, soon and in little memory, and no code is run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch

from clearhead.decoding.translator import Translator
from clearhead.models.build import build_model, named_weights
from clearhead.runs.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.training.events import Finished, Progress, Sample, Saved, Started, Validated
from clearhead.training.position import Position, Tally, from_state, to_state

from .hostile import attempt_each, change_file, in_a_child, restamp

FILES = ["run.toml", "tokenizer.json", "model.safetensors", "manifest.json", "log.jsonl"]
STEP = "checkpoints/step-00000001"
CHECKPOINT = ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]


@pytest.fixture(scope="session")
def original(tmp_path_factory, config, joint) -> Path:
    """A run of a tiny model, with a checkpoint and a log."""
    run = RunFolder.create(tmp_path_factory.mktemp("hostile") / "run", config, joint)
    size = joint.src.vocabulary_size
    weights = named_weights(build_model(config.model, size, size))
    run.write_weights(weights)
    moments = {f"{name}.exp_avg": torch.zeros_like(weight) for name, weight in weights.items()}
    save_checkpoint(run, 1, weights, moments, to_state(Position(1, 0, 1), Tally.begin()))
    log = EventLog(run.log_path)
    for event in (
        Started(0, 10, 10, 10, 10, "fp32", "cpu", 1),
        Progress(1, 0, 2.5, 2.4, 0.1, 1.0, 100.0, 1.0, 9.0),
        Validated(1, {"loss": 2.0, "bleu": 3.0}, True, (Sample("하나", "one", "two"),)),
        Saved(1, STEP),
        Finished(1, "max-steps", 1.0, "last, step 1", {"loss": 2.0}),
    ):
        log.write(event)
    return run.path


def load(folder: Path) -> None:
    Translator.load(folder, device="cpu")("나는 학교에")


def read_checkpoint(folder: Path) -> None:
    from_state(load_checkpoint(folder / STEP).state)


def find_checkpoint(folder: Path) -> None:
    latest_checkpoint(RunFolder.open(folder, weights=False))


def mutated(original: Path, work: Path, count: int, seed: int):
    """Lay out ``count`` changed folders one after another, each with what is done with it."""
    draw = random.Random(seed)
    for number in range(count):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(original, work)
        uses = [load, lambda folder: read_log(folder / "log.jsonl"), read_checkpoint, find_checkpoint]
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            part, names = draw.choice([(work, FILES), (work, FILES), (work / STEP, CHECKPOINT)])
            path = part / draw.choice(names)
            if path.is_file() and not path.is_symlink():
                change_file(draw, path)
            if draw.random() < 0.7 and not (part / "manifest.json").is_dir():
                restamp(part)
        for use in uses:
            yield f"{number} {getattr(use, '__name__', 'read_log')}", lambda use=use: use(work)


def mutate_folders(original: Path, work: Path, count: int, seed: int) -> list[str]:
    torch.set_num_threads(1)
    load(original)  # whatever is imported on the first use is imported now
    return in_a_child(lambda tell: attempt_each(mutated(original, work, count, seed), tell), 3600)


def test_mutated_folders_load_or_are_refused(original, tmp_path):
    assert mutate_folders(original, tmp_path / "work", 60, 0) == []


def test_the_watch_sees_what_it_watches_for(tmp_path):
    """Each of these would be a fault: a check that cannot fail proves nothing."""
    import os
    import pickle
    import signal
    import socket
    import subprocess
    import time

    from .hostile import Payload

    cases = {
        "pickle": lambda: pickle.loads(pickle.dumps(Payload())),
        "eval": lambda: eval("1 + 1"),
        "process": lambda: subprocess.run(["true"]),
        "socket": lambda: socket.socket().close(),
        "write": lambda: (tmp_path / "written").write_text("x"),
        "remove": lambda: os.remove(tmp_path / "written"),
        "slow": lambda: [None for _ in iter(time.process_time, None) if time.process_time() > began[0] + 2.1 and 1 / 0],
        "large": lambda: bytes(range(256)) * 2_500_000,
        "bug": lambda: {}["x"],
    }
    began = [0.0]

    def each():
        for name, use in cases.items():
            began[0] = time.process_time()
            yield name, use

    faults = in_a_child(lambda tell: attempt_each(each(), tell), 60)
    assert [fault.partition(":")[0] for fault in faults] == list(cases)
    faults = in_a_child(lambda tell: os.kill(os.getpid(), signal.SIGKILL), 60)
    assert len(faults) == 1 and "status" in faults[0]
