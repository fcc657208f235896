"""Micro-batches that size themselves: what a pass keeps is predicted, and the pieces fit into what there is."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest
import torch

from clearhead import device as device_module
from clearhead.config import make_config
from clearhead.data.batch import Batch
from clearhead.device import choose_device, memory_limit
from clearhead.models.build import build_model
from clearhead.training import memory
from clearhead.training.loss import Seq2SeqLoss
from clearhead.training.memory import micro_batch_tokens, saved_bytes


def loss(**sizes: int) -> Seq2SeqLoss:
    config = make_config({"model": {"d_model": 32, "d_ff": 64, "n_heads": 2, **sizes}})
    return Seq2SeqLoss(build_model(config.model, 300, 300), 0.1, choose_device("cpu", "fp32"))


def batch(rows: int, length: int) -> Batch:
    tokens, mask = torch.randint(4, 300, (rows, length)), torch.ones(rows, length, dtype=torch.bool)
    return Batch(tokens, mask, tokens, tokens, mask)


def test_what_is_kept_grows_with_the_batch_and_leaves_the_weights_out():
    model = loss()
    one, four = saved_bytes(model, batch(8, 20)), saved_bytes(model, batch(32, 20))
    assert 3.5 < four / one < 4.5
    wider = loss(d_ff=6400)
    linear = sum(w.numel() for name, w in wider.named_parameters() if "feed_forward" in name) * 4
    assert saved_bytes(wider, batch(1, 2)) < linear / 10


def test_a_trial_leaves_nothing_behind():
    model = loss()
    alive = [weakref.ref(weight) for weight in model.parameters()]
    saved_bytes(model, batch(2, 5))
    del model
    gc.collect()
    assert not [weight for weight in alive if weight() is not None]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_largest_halving_that_fits(monkeypatch, workers):
    model = loss()

    def longest(pairs):
        return batch(pairs, 50)

    one, two = (saved_bytes(model, batch(pairs, 50)) for pairs in (1, 2))
    per_token, fixed = (two - one) / 50, 2 * one - two
    state = sum(w.numel() for w in model.parameters()) * 4 * (3 + workers) + workers * fixed
    for tokens in (6000, 3000, 1500):
        monkeypatch.setattr(
            memory,
            "memory_limit",
            lambda _, tokens=tokens: (state + 1.01 * workers * tokens * per_token) / memory.SHARE,
        )
        assert micro_batch_tokens(model, model.device, 6000, longest, 50, workers) == tokens
    monkeypatch.setattr(memory, "memory_limit", lambda _: 0)
    assert micro_batch_tokens(model, model.device, 6000, longest, 50, workers) == 1  # a pair at a time


def test_a_model_that_is_divided_leaves_room_where_a_whole_one_does_not(monkeypatch):
    model = loss(d_ff=640)
    weights = sum(w.numel() for w in model.parameters()) * 4
    monkeypatch.setattr(memory, "memory_limit", lambda _: 3.5 * weights / memory.SHARE)

    def fits(parts: int) -> int:
        return micro_batch_tokens(model, model.device, 64, lambda pairs: batch(pairs, 8), 8, 1, parts)

    assert fits(1) == 1
    assert fits(8) == 64


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    machine = memory_limit()
    own = tmp_path / "own"
    monkeypatch.setattr(device_module, "_OWN_GROUPS", own)
    monkeypatch.setattr(device_module, "_CONTROL_GROUPS", tmp_path / "groups")
    assert memory_limit() == machine  # neither file is there
    job = tmp_path / "groups/slurm/job_7"
    (job / "step_0").mkdir(parents=True)
    own.write_text("0::/slurm/job_7/step_0\n")
    (job / "step_0/memory.max").write_text("max\n")
    assert memory_limit() == machine
    (job / "memory.max").write_text("1234567\n")  # of the whole job, around the step
    assert memory_limit() == 1234567
    first = tmp_path / "groups/memory/docker"
    first.mkdir(parents=True)
    (first / "memory.limit_in_bytes").write_text("7654\n")
    own.write_text("5:cpu,cpuacct:/docker\n4:memory:/docker\n")
    assert memory_limit() == 7654


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    alone = memory_limit()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory_limit() == alone // 4


MEASURE = """
import sys
sys.path.insert(0, {here!r})
from test_memory import batch, loss
def peak():  # of this process alone; getrusage begins with that of the process it was forked from
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
model = loss(d_model=256, d_ff=1024, n_heads=4)
model.train()(batch(1, 8))[0].backward()
before = peak()
model(batch(64, 40))[0].backward()
print(peak() - before)
"""


def test_the_prediction_is_what_a_pass_takes():
    here = __file__.rpartition("/")[0]
    said = subprocess.run([sys.executable, "-c", MEASURE.format(here=here)], capture_output=True, text=True, check=True)
    one, two = (saved_bytes(loss(d_model=256, d_ff=1024, n_heads=4), batch(pairs, 40)) for pairs in (1, 2))
    predicted = one + 63 * (two - one)
    assert 0.6 * predicted < int(said.stdout) < predicted / memory.SHARE
