"""The cost benchmark's sentences have the length they are said to have, and what is summed up is the training alone."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import training_cost
from runlog import Report, Window, reports_of, window_of
from training_cost import EVERY_WORD_A_TOKEN, QUICK, Plan

from clearhead.config import TokenizerConfig
from clearhead.text.tokenizer import Tokenizer


def test_a_logs_reports_are_read(tmp_path):
    progress = {"event": "Progress", "step": 5, "elapsed_s": 2.5, "tokens_per_s": 100.0, "loss": 1.0}
    events = [{"event": "Started", "step": 0}, progress, {"event": "Saved", "step": 5}, {**progress, "step": 10}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert reports_of(tmp_path / "log.jsonl") == [Report(5, 2.5, 100.0), Report(10, 2.5, 100.0)]


def test_a_window_is_what_lies_between_two_reports():
    reports = [Report(1, 1.0, 9e9), Report(2, 3.0, 50.0), Report(3, 4.0, 70.0), Report(4, 9.0, 9e9)]
    window = window_of(reports, 1, 3, 1)
    assert window == Window(2, 2 * 50 + 1 * 70, 3.0) and window.tokens_per_s == pytest.approx(170 / 3)
    with pytest.raises(ValueError, match="not covered"):
        window_of(reports, 2, 5, 1)


@pytest.mark.parametrize("length", [32, 257])
def test_sentences_have_one_length_in_tokens(tmp_path, length):
    training_cost.equal_sentences(tmp_path, length, 40_000 // length + 1)
    lines = {side: (tmp_path / f"train.{side}").read_text().splitlines() for side in ("src", "tgt")}
    config = TokenizerConfig(vocabulary_size=EVERY_WORD_A_TOKEN)
    tokenizer = Tokenizer.train([*lines["src"], *lines["tgt"]], config)
    assert {len(ids) + 1 for side in lines.values() for ids in tokenizer.encode_batch(side)} == {length}
    assert lines["src"] != lines["tgt"]


def test_the_weights_of_a_layer_grow_with_the_length_at_the_same_tokens():
    plan = Plan(n_heads=4, batch_tokens=8192)
    assert training_cost.weights_bytes(plan, 32) == 4 * 256 * 4 * 32 * 32
    assert training_cost.weights_bytes(plan, 2048) == 64 * training_cost.weights_bytes(plan, 32)


def test_the_memory_is_that_of_the_last_processes(tmp_path):
    sleeper = "import os, time; os.write(1, b'up\\n'); time.sleep(20)"
    starter = f"import subprocess, sys; a, b = (subprocess.Popen([sys.executable, '-c', {sleeper!r}]) for _ in '12')"
    starter += "; a.wait(); b.wait()"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as parent:
        assert [parent.stdout.readline(), parent.stdout.readline()] == ["up\n"] * 2
        found = training_cost.leaves(parent.pid)
        assert len(set(found)) == 2 and parent.pid not in found
        for pid in found:
            os.kill(pid, 15)
    assert training_cost.leaves(parent.pid) == [parent.pid]


def test_a_training_that_fails_says_why(tmp_path):
    code = "import sys; print('ValueError: too few'); print('torch.distributed.elastic: failed'); sys.exit(3)"
    row = training_cost.train("2 processes", [sys.executable, "-c", code], tmp_path, QUICK)
    assert row.failure == "exit 3: ValueError: too few" and row.tokens_per_s == 0.0
    assert training_cost.failure_of(["[rank1]: RuntimeError: gone", "other"]) == "[rank1]: RuntimeError: gone"
    assert training_cost.failure_of(["one", "two"]) == "two"


def test_a_row_is_read_from_the_runs_log(tmp_path):
    log = [
        {"event": "Started", "step": 0, "time": time.time() + 100, "precision": "fp32"},
        {"event": "Progress", "step": 1, "elapsed_s": 1.0, "tokens_per_s": 7.0},
        {"event": "Progress", "step": 2, "elapsed_s": 3.0, "tokens_per_s": 50.0},
    ]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in log))
    code = "import time; held = b'x' * 100_000_000; time.sleep(0.3)"
    row = training_cost.train("1,000", [sys.executable, "-c", code], tmp_path, QUICK)
    assert (row.tokens_per_s, row.tokens, row.precision) == (50.0, 100.0, "fp32")
    assert 90 < row.start_s < 110
    assert 100e6 < row.peak_bytes < 150e6


def test_processes_go_through_torchrun():
    words = training_cost.command(Path("here"), QUICK, ["data.max_tokens=32"], 1, 2)
    assert words[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    assert words[6:9] == ["-m", "clearhead", "train"] and words[-2:] == ["--set", "data.max_tokens=32"]
    assert "torch.distributed.run" not in training_cost.command(Path("here"), QUICK, [], 2, None)
