"""Several processes train as one does: the same losses, every pair once, and a process that dies costs no work."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.tensor import DTensor

from clearhead.config import make_config
from clearhead.errors import UsageError
from clearhead.runs.checkpoints import checkpoint_path, load_checkpoint
from clearhead.training.distributed import Sharded, Team, shared_by_this_start
from clearhead.training.session import open_training

WORKER = Path(__file__).with_name("team.py")
WORDS = [f"{a}{b}" for a in "bdfgk" for b in ("an", "or", "eel", "ust")]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    draw = random.Random(3)
    lines = list(dict.fromkeys(" ".join(draw.choices(WORDS, k=draw.randint(2, 9))) for _ in range(600)))
    (tmp_path / "train.src").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "train.tgt").write_text("".join(" ".join(reversed(line.split())) + "\n" for line in lines))
    (tmp_path / "notes").mkdir()
    return tmp_path


def table(corpus: Path, steps: int) -> dict[str, Any]:
    return {
        "data": {"root": str(corpus), "sources": [{"src": "train.src", "tgt": "train.tgt"}], "holdout": 20},
        "tokenizer": {"vocabulary_size": 360},
        "model": {
            "d_model": 16, "d_ff": 32, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1, "dropout": 0.0,
        },
        "training": {
            "max_steps": steps, "batch_tokens": 500, "micro_batch_tokens": 90, "log_every": 1, "validate_every": 10,
            "checkpoint_every": 10, "schedule": "constant", "learning_rate": 0.002, "warmup_steps": 5, "keep_last": 2,
            "validate_metric": "chrf", "validate_sentences": 5, "precision": "fp32",
        },
    }  # fmt: skip


def launch(
    corpus: Path, steps: int, trainings: list[dict[str, Any]], *flags: str, within: str = ""
) -> subprocess.Popen:
    """Start torchrun on the worker script, inside of a network namespace if one is named."""
    spec = {"table": table(corpus, steps), "notes": str(corpus / "notes"), "trainings": trainings}
    (corpus / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-m", "torch.distributed.run", *flags, str(WORKER), str(corpus / "spec.json")]
    command = ["ip", "netns", "exec", within, *command] if within else command
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> None:
    said, _ = process.communicate(timeout=400)
    print(said[-5000:])  # seen only when a test fails
    assert process.returncode == 0, said[-5000:]


def notes(corpus: Path, name: str) -> list[dict[str, Any]]:
    """Return every line that a process has noted of a training, with its rank and life, as time went by."""
    found = []
    for path in (corpus / "notes").glob(f"{name}.*.jsonl"):
        rank, life = map(int, path.name.split(".")[1:3])
        found += [{**json.loads(line), "rank": rank, "life": life} for line in path.read_text().splitlines()]
    return sorted(found, key=lambda line: line["time"])


def losses(corpus: Path, name: str) -> list[float]:
    return [line["loss"] for line in notes(corpus, name) if "loss" in line]


def alone(corpus: Path, steps: int, *settings: str) -> list[float]:
    training = open_training(make_config(table(corpus, steps), settings), corpus / "alone")
    return [event.loss for event in training.events() if type(event).__name__ == "Progress"]


def check_history(corpus: Path, name: str, batches_of_an_epoch: int) -> None:
    """In the history of the surviving weights each pair of an epoch comes exactly once."""
    lines = [line for line in notes(corpus, name) if "pairs" in line]
    survived = {(line["rank"], line["step"]): line for line in lines}.values()  # of each step what was made of it last
    steps = Counter(line["epoch"] for line in {line["step"]: line for line in survived}.values())
    whole = [epoch for epoch in steps if steps[epoch] == batches_of_an_epoch]
    assert len(whole) > 1
    for epoch in whole:
        pairs = Counter(tuple(row) for line in survived if line["epoch"] == epoch for row in line["pairs"])
        assert set(pairs.values()) == {1}
        assert len(pairs) == len((corpus / "train.src").read_text().splitlines()) - 20


def test_the_shares_of_all_processes_make_up_the_batch(corpus):
    training = open_training(make_config(table(corpus, 1)), corpus / "run")
    (_, indexes), *_ = itertools.islice(training._batches(), 1)
    for size in (1, 2, 3, 7, 2 * len(indexes)):
        shares = []
        for rank in range(size):
            training.team = Team(rank, size)
            shares.append(training._pieces(indexes, 0))
        assert len({len(pieces) for pieces in shares}) == 1, "all keep step"
        numbers = [piece.number for pieces in shares for piece in pieces]
        assert sorted(numbers) == list(range(len(numbers))), "each piece has its own dropout"
        counted = [piece.batch for pieces in shares for piece in pieces if piece.counts]
        assert sum(int(batch.tgt_mask.sum()) for batch in counted) == training.task.count(
            training.task.corpora.train, indexes, 0
        )
        assert sum(len(batch.src) for batch in counted) == len(indexes)


def test_what_dead_processes_left_in_the_store_misleads_nobody():
    store = torch.distributed.HashStore()
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            late_first = [pool.submit(shared_by_this_start, store, rank, 4) for rank in (2, 1, 3)]
            time.sleep(0.1)  # the others meet what the last start has left
            first = shared_by_this_start(store, 0, 4)
            fresh = [first, *(each.result() for each in late_first)]
        assert not first.check(["address"])
        first.set("address", "here")
        assert all(each.get("address") == b"here" for each in fresh)


def test_two_processes_train_as_one(corpus):
    """DDP and FSDP2 against one process; checkpoints in parts go on in one process, and the other way round."""
    expected = alone(corpus, 25)
    trainings = [
        {"out": str(corpus / "ddp"), "set": []},
        {"out": str(corpus / "fsdp"), "set": ["training.parallel=fsdp", "training.max_steps=20"]},
        {
            "out": str(corpus / "later"),
            "set": ["training.parallel=fsdp", "training.micro_batch_tokens=auto"],
            "resume": True,
        },
    ]
    cut = open_training(make_config(table(corpus, 13)), corpus / "later")
    cut_losses = [event.loss for event in cut.events() if type(event).__name__ == "Progress"]
    finish(launch(corpus, 25, trainings, "--nproc-per-node", "2"))
    assert losses(corpus, "ddp") == pytest.approx(expected, rel=1e-5)
    assert losses(corpus, "fsdp") == pytest.approx(expected[:20], rel=1e-5)
    assert cut_losses + losses(corpus, "later") == pytest.approx(expected, rel=1e-5)
    parts = sorted(path.name for path in checkpoint_path(cut.run, 20).iterdir())
    assert parts == [
        "manifest.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "optimizer-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors", "state.json",
    ]  # fmt: skip
    rest = open_training(make_config(table(corpus, 25)), corpus / "fsdp", resume=True)
    assert rest.position.step == 20
    rest_losses = [event.loss for event in rest.events() if type(event).__name__ == "Progress"]
    assert rest_losses == pytest.approx(expected[20:], rel=1e-5)
    again = open_training(make_config(table(corpus, 25)), corpus / "ddp", resume=True)
    a, b = (load_checkpoint(checkpoint_path(training.run, 25)).weights for training in (rest, again))
    for name, weight in a.items():
        if not name.endswith("w_k.bias"):  # the softmax does not see it: its gradient is rounding, made large by Adam
            torch.testing.assert_close(weight, b[name], rtol=1e-3, atol=1e-4)


WAITING = """
import time
from datetime import timedelta
from clearhead.cli import as_clearhead_error
from clearhead.training import distributed

distributed.STEP_PATIENCE = timedelta(seconds=6)
team = distributed.Team.join("cpu")
if team.rank == 1:
    time.sleep(9)
print(team.agree("saved"), team.total(1.0), flush=True)
if team.rank == 1:
    time.sleep(600)
try:
    team.total(1.0)
except RuntimeError as error:
    print(as_clearhead_error(error).message(), flush=True)
"""


def test_a_machine_without_power_is_noticed_in_an_update_and_a_slow_disk_is_waited_for():
    store = torch.distributed.TCPStore("localhost", 0, is_master=True)
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    team = [
        subprocess.Popen(
            [sys.executable, "-c", WAITING],
            env={**os.environ, **where, "WORLD_SIZE": "2", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        agreed, noticed = [team[0].stdout.readline() for _ in range(2)]
    finally:
        for process in team:
            process.kill()
            process.communicate()
    assert agreed == "saved [2.0]\n" and "another process of this training has gone" in noticed


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="2 processes") as caught:
        Team.join("cuda")
    assert "GPU는 1개" in caught.value.message("ko")


@pytest.fixture
def group():
    """A process group of this process alone: FSDP2 divides among one."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_a_model_is_divided_where_it_is_whatever_else_there_is(group, monkeypatch):
    """With --device cpu on a machine with a GPU."""
    monkeypatch.setattr(torch._C, "_get_accelerator", lambda: torch.device("cuda"))
    model = nn.Sequential(OrderedDict(model=nn.Linear(3, 2)))
    Sharded(Team()).wrap(model)
    assert {weight.device_mesh.device_type for weight in model.parameters()} == {"cpu"}


def test_no_process_holds_the_gradients_of_all_weights_between_pieces(group):
    loss = nn.Sequential(OrderedDict(model=nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))))
    engine = Sharded(Team())
    loss = engine.wrap(loss)
    for last in (False, True):
        with engine.piece(loss, last):
            loss(torch.ones(1, 3)).sum().backward()
        assert all(isinstance(weight.grad, DTensor) for weight in loss.parameters())


def test_what_a_checkpoint_brings_beside_weights_is_validated_with(group):
    loss = nn.Sequential(OrderedDict(model=nn.BatchNorm1d(3)))
    engine = Sharded(Team())
    loss = engine.wrap(loss)
    loss.model.running_mean.fill_(7.0)
    with engine.whole(loss.model) as model:
        assert model.running_mean.tolist() == [7.0] * 3


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_1_2_and_4_processes_give_the_same_losses_over_200_steps(corpus, parallel):
    expected = alone(corpus, 200)
    for size in (2, 4):
        run = {"out": str(corpus / f"team-{size}"), "set": [f"training.parallel={parallel}"]}
        finish(launch(corpus, 200, [run], "--nproc-per-node", str(size)))
        found = losses(corpus, f"team-{size}")
        assert len(found) == 200
        assert max(abs(a - b) for a, b in zip(found, expected)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_process_that_is_killed_costs_no_step_beyond_the_last_checkpoint(corpus, parallel):
    expected = alone(corpus, 60)
    run = {"out": str(corpus / "run"), "set": [f"training.parallel={parallel}"], "kill": [1, 37]}
    finish(launch(corpus, 60, [run], "--nproc-per-node", "2", "--max-restarts", "2"))
    check_survival(corpus, expected)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or not shutil.which("ip") or os.geteuid() != 0, reason="needs root and iproute2")
def test_two_hosts_and_a_process_that_is_killed(corpus, monkeypatch):
    """Two network namespaces are two hosts: torchrun on each, one worker killed in mid-epoch, the job restarted."""
    expected = alone(corpus, 60)
    hosts = ["clearhead-a", "clearhead-b"]
    run = {"out": str(corpus / "run"), "set": [], "kill": [1, 37]}
    flags = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2", "--rdzv-backend", "c10d"]
    flags += ["--rdzv-id", "test", "--rdzv-endpoint", "10.77.0.1:29400"]
    jobs = []
    try:
        make_hosts(hosts)
        monkeypatch.setenv("GLOO_SOCKET_IFNAME", "wire")
        for number, host in enumerate(hosts, start=1):  # a namespace has no name of its own by which to know the host
            where = ["--local-addr", f"10.77.0.{number}", "--rdzv-conf", f"is_host={2 - number}"]
            jobs.append(launch(corpus, 60, [run], *flags, *where, within=host))
        for job in jobs:
            finish(job)
    finally:
        for job in jobs:
            job.kill()
            job.communicate()
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host], check=False)
    check_survival(corpus, expected)


def make_hosts(hosts: list[str]) -> None:
    for host in hosts:
        subprocess.run(["ip", "netns", "add", host], check=True)
    ends = [["name", "wire", "netns", host] for host in hosts]
    pair = ["ip", "link", "add", *ends[0], "type", "veth", "peer", *ends[1]]
    subprocess.run(pair, check=True)
    for number, host in enumerate(hosts, start=1):
        for command in (
            ["addr", "add", f"10.77.0.{number}/24", "dev", "wire"],
            ["link", "set", "wire", "up"],
            ["link", "set", "lo", "up"],
        ):
            subprocess.run(["ip", "-n", host, *command], check=True)


def check_survival(corpus: Path, expected: list[float]) -> None:
    lines = [line for line in notes(corpus, "run") if "pairs" in line]
    lives = {line["life"] for line in lines}
    assert {0, 1} <= lives <= {0, 1, 2}, "of two hosts each counts its own restarts"
    assert max(line["step"] for line in lines if line["life"] == 0) == 37
    again = [line["step"] for line in lines if line["life"] > 0]
    assert sorted(again) == sorted(2 * [*range(31, 61)]), "the last checkpoint is gone on from, once"
    found = {line["step"]: line["loss"] for line in notes(corpus, "run") if "loss" in line}
    assert [found[step] for step in range(1, 61)] == pytest.approx(expected, abs=1e-4)
    steps_of_epoch = Counter(line["epoch"] for line in {line["step"]: line for line in lines}.values())
    check_history(corpus, "run", max(steps_of_epoch.values()))
