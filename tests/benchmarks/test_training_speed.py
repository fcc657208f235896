"""The speed benchmark counts what was trained on: each figure is found on a second road."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    path = ROOT / "benchmarks" / "training_speed.py"
    spec = importlib.util.spec_from_file_location("training_speed", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["training_speed"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["training_speed"]


def data_folder() -> Path:
    folder = Path(os.environ.get("CLEARHEAD_DATA", ROOT.parent / "shared" / "data")) / "multi30k-en-de"
    if not (folder / "train.de").is_file():
        pytest.skip(f"no Multi30K: {folder} is not there")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A word-for-word language in files named as Multi30K's."""
    import random

    folder = tmp_path_factory.mktemp("corpus")
    chooser = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    words = {"".join(chooser.choices(syllables, k=2)): "".join(chooser.choices(syllables, k=3)) for _ in range(150)}
    for part, lines in (("train", 400), ("val", 20)):
        sentences = [chooser.choices(list(words), k=chooser.randint(2, 12)) for _ in range(lines)]
        for language, table in (("en", dict(zip(words, words))), ("de", words)):
            text = "".join(" ".join(table[word] for word in sentence) + "\n" for sentence in sentences)
            (folder / f"{part}.{language}").write_text(text, encoding="utf-8")
    return folder


def task(speed, data: Path, work: Path, updates: int = 10):
    return speed.Task(speed.QUICK, data, work, seed=1, warmup=5, updates=updates)


# --- the window


def test_the_window_is_what_lies_between_the_warm_up_and_the_end(speed, tmp_path):
    reports = [  # 5 updates each: 10 s at 100, 20 s at 300, 5 s at 200, between warm-up and what comes afterwards
        speed.Report(0, 900.0, 9000.0),
        speed.Report(5, 1000.0, 7.0),
        speed.Report(10, 1010.0, 100.0),
        speed.Report(15, 1030.0, 300.0),
        speed.Report(20, 1035.0, 200.0),
        speed.Report(25, 1036.0, 9000.0),
    ]
    found = speed.measured(task(speed, tmp_path, tmp_path, 15), reports, "fp32", 16.0, 123)
    tokens = 10 * 100 + 20 * 300 + 5 * 200
    assert found.tokens_per_s == pytest.approx(tokens / 35)
    assert found.tokens_per_update == pytest.approx(tokens / 15)
    assert found.s_per_update == pytest.approx(35 / 15)
    assert found.pairs_per_s == pytest.approx(tokens / 16 / 35)
    assert found.peak_bytes == 123


@pytest.mark.parametrize("steps", [(10, 15), (5, 15), (5, 10), ()])
def test_a_window_that_the_reports_do_not_cover_is_refused(speed, tmp_path, steps):
    reports = [speed.Report(step, float(step), 100.0) for step in steps]
    with pytest.raises(SystemExit, match="not covered"):
        speed.measured(task(speed, tmp_path, tmp_path), reports, "fp32", 16.0, 0)


# --- clearhead


def test_clearhead_is_measured_by_the_tokens_that_it_trained_on(speed, corpus, tmp_path):
    from clearhead.config import read_config
    from clearhead.data.corpus import open_corpora
    from clearhead.data.order import BatchOrder
    from clearhead.runs.folder import RunFolder

    found = speed.clearhead(task(speed, corpus, tmp_path, 5))
    run = RunFolder.open(tmp_path / "run")
    config = read_config(tmp_path / "run" / "run.toml")
    train = open_corpora(config.data, run.tokenizers(), tmp_path / "cache", config.training.seed).train
    order = BatchOrder(train, config.training.batch_tokens, config.training.seed)
    batches = [batch for epoch in range(5) for batch in order.epoch(epoch)][5:10]
    tokens = sum(len(train.pair(int(i))[1]) for batch in batches for i in batch)
    assert found.tokens_per_update == pytest.approx(tokens / 5, rel=0.03)  # the log's own writing takes time too
    assert found.tokens_per_pair == pytest.approx(train.tgt_lengths.mean(), rel=1e-6)
    assert found.tokens_per_s * found.s_per_update == pytest.approx(found.tokens_per_update)
    assert 50e6 < found.peak_bytes < 4e9


def test_clearhead_trains_the_small_preset(speed, tmp_path):
    from clearhead.config import PRESETS, TransformerConfig, make_config

    config = make_config({}, speed.clearhead_settings(speed.Task(speed.Recipe(), tmp_path, tmp_path, 1, 5, 20)))
    assert config.model == TransformerConfig(**PRESETS["small"], norm="pre", tie="three-way", dropout=0.1)
    assert (config.tokenizer.vocabulary_size, config.training.batch_tokens) == (8000, 4096)
    assert (config.training.optimizer, config.training.label_smoothing) == ("adam", 0.1)


def test_a_program_that_fails_ends_everything(speed, tmp_path):
    with pytest.raises(SystemExit, match=r"what went wrong[\s\S]*exit 3"):
        speed.run([sys.executable, "-c", "import sys; print('what went wrong'); sys.exit(3)"], tmp_path)


def test_the_peak_is_the_childs(speed, tmp_path):
    mine = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a child's peak starts from what this process has
    code = "b'x' * {}"
    small, large = (speed.run([sys.executable, "-c", code.format(n)], tmp_path) for n in (1, mine + 300_000_000))
    assert small < mine + 100e6
    assert mine + 300e6 < large < mine + 500e6


# --- JoeyNMT

LOG = """\
2026-01-02 23:59:58,500 - INFO - joeynmt.training - EPOCH 1
2026-01-02 23:59:59,500 - INFO - joeynmt.training - Epoch   1, Step:        5, Batch Loss:     5.291475, \
Batch Acc: 0.001247, Tokens per Sec:      655, Lr: 0.000100
2026-01-03 00:00:02,000 - INFO - joeynmt.training - Epoch   1, Step:       10, Batch Loss:     5.269030, \
Batch Acc: 0.003641, Tokens per Sec:     1672, Lr: 0.000100
2026-01-03 00:00:02,100 - INFO - joeynmt.training - Training ended since maximum num. of updates 10 was reached.
"""


def test_joeynmts_log_is_read(speed):
    first, second = speed.joeynmt_reports(LOG)
    assert (first.step, first.tokens_per_s, second.step, second.tokens_per_s) == (5, 655.0, 10, 1672.0)
    assert second.at_s - first.at_s == pytest.approx(2.5)


def test_both_programs_are_given_the_same_model(speed, tmp_path):
    whole = speed.Task(speed.Recipe(), tmp_path, tmp_path, 1, 5, 20)
    theirs = json.loads(json.dumps(speed.joeynmt_config(whole)))
    ours = dict(setting.split("=", 1) for setting in speed.clearhead_settings(whole))
    for stack in ("encoder", "decoder"):
        one = theirs["model"][stack]
        assert str(one["num_layers"]) == ours[f"model.n_{stack}_layers"]
        assert str(one["num_heads"]) == ours["model.n_heads"]
        assert str(one["hidden_size"]) == str(one["embeddings"]["embedding_dim"]) == ours["model.d_model"]
        assert str(one["ff_size"]) == ours["model.d_ff"]
        assert (str(one["dropout"]), one["layer_norm"]) == (ours["model.dropout"], ours["model.norm"])
    training = theirs["training"]
    for theirs_name, ours_name in (
        ("batch_size", "batch_tokens"),
        ("label_smoothing", "label_smoothing"),
        ("learning_rate", "learning_rate"),
        ("learning_rate_warmup", "warmup_steps"),
        ("updates", "max_steps"),
        ("optimizer", "optimizer"),
        ("logging_freq", "log_every"),
    ):
        assert str(training[theirs_name]) == ours[f"training.{ours_name}"]
    assert theirs["model"]["tied_embeddings"] and theirs["model"]["tied_softmax"]
    assert {key: theirs["data"]["special_symbols"][f"{key}_id"] for key in ("unk", "pad", "bos", "eos")} == {
        "unk": 0, "pad": 1, "bos": 2, "eos": 3,
    }  # fmt: skip
    same = dict(setting.split("=") for setting in speed.SAME_DROPOUT)
    assert set(same.values()) == {str(theirs["model"]["encoder"]["dropout"])}


# --- the comparison


def test_medians_and_ratios(speed):
    def one(rate):
        return speed.Measured("fp32", rate, 100.0, 1.0, 16.0, rate / 16, 1000)

    rounds = [{"clearhead": one(mine), "JoeyNMT": one(theirs)} for mine, theirs in ((80, 10), (60, 30), (90, 20))]
    middle = speed.medians(rounds)
    assert speed.ratios(middle, "tokens_per_s") == {"JoeyNMT": {"clearhead": 80 / 20}}
    assert speed.ratios(middle, "peak_bytes") == {"JoeyNMT": {"clearhead": 1.0}}


@pytest.mark.slow
def test_the_whole_benchmark_runs(speed):
    data = data_folder()
    if not speed.JOEYNMT.exists():
        pytest.skip(f"no JoeyNMT: {speed.JOEYNMT} is not there")
    command = [sys.executable, "benchmarks/training_speed.py", "--quick", "--data", str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["medians"]) == set(speed.PROGRAMS)
    assert all(
        0 < times < 1000 for peers in result["ratio"].values() for one in peers.values() for times in one.values()
    )
    for program in result["medians"].values():  # an update has at most its budget, and most of it is no padding
        assert 100 < program["tokens_per_update"] <= 2 * speed.QUICK.batch_tokens
