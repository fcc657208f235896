"""The GPU benchmark runs without a GPU too, and counts the batches that were trained on."""

import argparse
import subprocess
import sys
from pathlib import Path

import gpu
import numpy as np
import pytest
import torch
from arithmetic import Lengths, Shape, training_flop

from clearhead.config import PRESETS, TransformerConfig

SCRIPT = Path(gpu.__file__)


@pytest.fixture
def plan() -> gpu.Plan:
    return gpu.Plan("tiny", 512, "whole", "cpu", "fp32", 500, warmup=1, updates=2, report_every=1)


def test_a_row_is_a_training_of_our_own_loop(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    gpu.synthesise(tmp_path, 300, 400)
    seen = []

    def counted(corpus, plan, config):
        seen.append((corpus, config))
        return counting(corpus, plan, config)

    counting = gpu.flop_per_token
    monkeypatch.setattr(gpu, "flop_per_token", counted)
    row = gpu.measure(plan, tmp_path)
    [(corpus, config)] = seen
    batches = gpu.BatchOrder(corpus, 512, config.training.seed).epoch(0)[1:3]
    pairs = [(int(corpus.src_lengths[i]), int(corpus.tgt_lengths[i])) for i in np.concatenate(batches)]
    lengths = Lengths.of(pairs)
    assert row.flop_per_token == training_flop(Shape(32, 64, 1, 1, 500), lengths) / lengths.tgt
    assert row.tokens_per_update == pytest.approx(lengths.tgt / 2, rel=0.2)  # reports after each update are rough
    assert row.flop_per_s == row.tokens_per_s * row.flop_per_token and not row.failure


def test_the_presets_are_trained_as_they_are(tmp_path):
    for name in ("paper-base", "paper-big"):
        config = gpu.Plan(name, 32_768, "whole", "cuda").config(tmp_path)
        assert config.model == TransformerConfig(**PRESETS[name])
        assert (config.training.batch_tokens, config.training.micro_batch_tokens) == (32_768, 32_768)
    assert gpu.Plan("paper-base", 32_768, "auto", "cuda").config(tmp_path).training.micro_batch_tokens == "auto"


def test_plans_are_every_model_with_every_batch():
    options = argparse.Namespace(
        models=["paper-base", "paper-big"], batch_tokens=[1, 2], micro_batch_tokens="77", device="cuda", quick=False
    )
    plans = gpu.plans_of(options)
    found = [(plan.model, plan.batch_tokens, plan.micro_batch_tokens) for plan in plans]
    assert found == [("paper-base", 1, 77), ("paper-base", 2, 77), ("paper-big", 1, 77), ("paper-big", 2, 77)]


def test_a_row_that_fails_says_why(plan, tmp_path):
    row = gpu.in_child(plan, tmp_path)  # no corpus there
    assert "train.src" in row.failure
    assert row.failure in gpu.line(plan, row, 1e12)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_line():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "no GPU" in done.stderr
