"""The speed benchmark counts what was trained on: each figure is found on a second road."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import training_speed
from peers import itself, joeynmt, prepare
from peers.plain_loop import pad, read_batches, train
from peers.task import BATCHES, ENVIRONMENTS, QUICK, Measured, Recipe, Task, measured, python_of, run
from runlog import Report

ROOT = Path(__file__).parents[2]


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


def task(data: Path, work: Path, updates: int = 10, recipe: Recipe = QUICK) -> Task:
    return Task(recipe, data, prepared=work, work=work, seed=1, warmup=5, updates=updates)


# --- the window


def test_the_window_is_what_lies_between_the_warm_up_and_the_end(tmp_path):
    reports = [  # 5 updates each: 10 s at 100, 20 s at 300, 5 s at 200, between warm-up and what comes afterwards
        Report(0, 900.0, 9000.0),
        Report(5, 1000.0, 7.0),
        Report(10, 1010.0, 100.0),
        Report(15, 1030.0, 300.0),
        Report(20, 1035.0, 200.0),
        Report(25, 1036.0, 9000.0),
    ]
    found = measured(task(tmp_path, tmp_path, 15), reports, "fp32", 16.0, 123)
    tokens = 10 * 100 + 20 * 300 + 5 * 200
    assert found.tokens_per_s == pytest.approx(tokens / 35)
    assert found.tokens_per_update == pytest.approx(tokens / 15)
    assert found.s_per_update == pytest.approx(35 / 15)
    assert found.pairs_per_s == pytest.approx(tokens / 16 / 35)
    assert found.peak_bytes == 123


@pytest.mark.parametrize("steps", [(10, 15), (5, 15), (5, 10), ()])
def test_a_window_that_the_reports_do_not_cover_is_refused(tmp_path, steps):
    reports = [Report(step, float(step), 100.0) for step in steps]
    with pytest.raises(SystemExit, match="not covered"):
        measured(task(tmp_path, tmp_path), reports, "fp32", 16.0, 0)


# --- clearhead, and the batches that peers get


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A task with its batches, and what was measured of clearhead's training on them."""
    folder = tmp_path_factory.mktemp("prepared")
    given = task(corpus, folder, 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARHEAD_CACHE", str(folder / "cache"))
        prepare.prepare(given)
        yield given, itself.clearhead(given)


def test_clearhead_is_measured_by_the_tokens_that_it_trained_on(trained):
    from clearhead.runs.folder import RunFolder

    prepared, found = trained
    tokenizer = RunFolder.open(prepared.work / "run").tokenizers().tgt
    batches = [tgt for _, tgt in read_batches(prepared.prepared / BATCHES)]
    tokens = sum(len(row) for tgt in batches[5:10] for row in tgt)
    assert found.tokens_per_update == pytest.approx(tokens / 5)
    lines = (prepared.data / "train.de").read_text(encoding="utf-8").splitlines()
    assert found.tokens_per_pair == pytest.approx(sum(len(tokenizer.encode(line)) + 1 for line in lines) / len(lines))
    assert found.tokens_per_s * found.s_per_update == pytest.approx(found.tokens_per_update)
    assert 50e6 < found.peak_bytes < 4e9


def test_peers_get_the_batches_that_clearhead_trains_on(trained, tmp_path):
    from clearhead.config import read_config
    from clearhead.training import loop
    from clearhead.training.session import open_training

    prepared, _ = trained
    training = open_training(read_config(prepared.work / "run" / "run.toml"), tmp_path / "again", device="cpu")
    order = loop.BatchOrder(training.task.corpora.train, QUICK.batch_tokens, seed=1)
    expected = [[training.task.corpora.train.pair(int(i)) for i in indexes] for indexes in order.epoch(0)[:10]]
    found = [list(zip(*batch)) for batch in read_batches(prepared.prepared / BATCHES)]
    assert found == expected[: len(found)] and len(found) == 10
    window = prepared.facts()["window"]
    assert window["tgt"] == sum(len(tgt) for pairs in expected[5:] for _, tgt in pairs)
    assert window["src_tgt"] == sum(len(src) * len(tgt) for pairs in expected[5:] for src, tgt in pairs)


def test_clearhead_trains_the_small_preset(tmp_path):
    from clearhead.config import PRESETS, TransformerConfig, make_config

    config = make_config({}, itself.settings(task(tmp_path, tmp_path, 20, Recipe())))
    assert config.model == TransformerConfig(**PRESETS["small"], norm="pre", tie="three-way", dropout=0.1)
    assert (config.tokenizer.vocabulary_size, config.training.batch_tokens) == (8000, 4096)
    assert (config.training.optimizer, config.training.label_smoothing) == ("adam", 0.1)


def test_a_program_that_fails_ends_everything(tmp_path):
    with pytest.raises(SystemExit, match=r"what went wrong[\s\S]*exit 3"):
        run([sys.executable, "-c", "import sys; print('what went wrong'); sys.exit(3)"], tmp_path)


def test_the_peak_is_the_childs(tmp_path):
    mine = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a child's peak starts from what this process has
    code = "b'x' * {}"
    small, large = (run([sys.executable, "-c", code.format(n)], tmp_path) for n in (1, mine + 300_000_000))
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


def test_joeynmts_log_is_read():
    first, second = joeynmt.joeynmt_reports(LOG)
    assert (first.step, first.tokens_per_s, second.step, second.tokens_per_s) == (5, 655.0, 10, 1672.0)
    assert second.at_s - first.at_s == pytest.approx(2.5)


def test_both_programs_are_given_the_same_model(tmp_path):
    whole = task(tmp_path, tmp_path, 20, Recipe())
    theirs = json.loads(json.dumps(joeynmt.joeynmt_config(whole)))
    ours = dict(setting.split("=", 1) for setting in itself.settings(whole))
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
    same = dict(setting.split("=") for setting in itself.SAME_DROPOUT)
    assert set(same.values()) == {str(theirs["model"]["encoder"]["dropout"])}


# --- the peers that are a model


class Counting(torch.nn.Module):
    """A model of one weight that remembers which batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[int] = []

    def loss_of(self, src, tgt):
        self.seen.append(sum(map(len, tgt)))
        return self.weight * 2


def test_the_plain_loop_reports_the_tokens_it_was_given(tmp_path):
    batches = [[[5, 3]], [[5, 6, 3], [7, 3]], [[3]], [[5, 6, 7, 3]]]
    lines = (json.dumps({"src": [[4, 3]] * len(tgt), "tgt": tgt}) + "\n" for tgt in batches)
    (tmp_path / BATCHES).write_text("".join(lines))
    model = Counting()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    given = {"prepared": str(tmp_path), "precision": "fp32", "report_every": 2}
    first, second = train(given, model, optimizer, model.loss_of)
    assert model.seen == [2, 5, 1, 4]
    assert (first["step"], second["step"]) == (2, 4)
    assert second["tokens_per_s"] * (second["at_s"] - first["at_s"]) == pytest.approx(1 + 4)
    assert float(model.weight.detach()) == -2 * 4  # a step an update, with nothing left of the former gradient


@pytest.fixture
def torch_transformer(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "peers"))
    module = importlib.import_module("torch_transformer")
    facts = {"vocabulary_size": 20, "pad_id": 0, "start_id": 2, "eos_id": 3}
    torch.manual_seed(1)
    with warnings.catch_warnings():  # it says how to be faster in inference
        warnings.simplefilter("ignore", UserWarning)
        model, _, loss_of = module.make({**asdict(QUICK), "norm": "post"}, facts)
    return model.eval(), loss_of


def test_torchs_transformer_is_trained_on_what_comes_next_and_no_padding(torch_transformer):
    model, loss_of = torch_transformer
    src, tgt = [[5, 6, 7, 3], [8, 3]], [[9, 3], [10, 11, 12, 3]]
    together = float(loss_of(src, tgt).detach()) * 6
    assert together == pytest.approx(
        sum(float(loss_of([s], [t]).detach()) * len(t) for s, t in zip(src, tgt)), rel=1e-5
    )
    logits = model(pad(src[:1], 0).t(), torch.tensor([[2], [9]]))
    one = torch.nn.functional.cross_entropy(logits[:, 0], torch.tensor([9, 3]))
    assert float(loss_of(src[:1], tgt[:1]).detach()) == pytest.approx(float(one.detach()), rel=1e-5)


def test_torchs_transformer_does_not_see_ahead(torch_transformer):
    model, _ = torch_transformer
    src = torch.tensor([[5], [6], [3]])
    one, other = (model(src, torch.tensor([[2], [9], [last]])) for last in (10, 11))
    assert torch.allclose(one[:2], other[:2], atol=1e-6) and not torch.allclose(one[2], other[2], atol=1e-3)


# --- the comparison


def measured_at(rate: float) -> Measured:
    return Measured("fp32", rate, 100.0, 1.0, 16.0, rate / 16, 1000)


def test_medians_and_ratios():
    rounds = [
        {"clearhead": measured_at(mine), "JoeyNMT": measured_at(theirs)}
        for mine, theirs in ((80, 10), (60, 30), (90, 20))
    ]
    middle = training_speed.medians(rounds)
    assert training_speed.ratios(middle, "tokens_per_s") == {"JoeyNMT": {"clearhead": 80 / 20}}
    assert training_speed.ratios(middle, "peak_bytes") == {"JoeyNMT": {"clearhead": 1.0}}


def test_the_share_is_of_the_products_of_the_same_round():
    rounds = [
        training_speed.Round({"fp32": fp32, "bf16": 10 * fp32}, 1e6, {"clearhead": measured_at(rate)})
        for rate, fp32 in ((100, 1e9), (200, 4e9), (300, 1e9))
    ]
    found = training_speed.shares(rounds)["clearhead"]
    assert found == pytest.approx({"flop_per_s": 200e6, "of_fp32": 0.1, "of_bf16": 0.01})


def test_the_programs_are_those_asked_for():
    names = list(training_speed.chosen_programs(["torch"], bf16=False))
    assert names == ["clearhead", "clearhead, dropout everywhere", "torch.nn.Transformer"]
    assert set(training_speed.chosen_programs(["joeynmt", "marian", "torch"], bf16=True)) == set(
        training_speed.PROGRAMS
    )


def test_the_base_model_is_the_papers():
    from clearhead.config import TransformerConfig, make_config

    nowhere = Path()
    given = task(nowhere, nowhere, 10, training_speed.MODELS["paper-base"])
    assert make_config({}, itself.settings(given)).model == TransformerConfig()


@pytest.mark.slow
def test_the_whole_benchmark_runs():
    data = data_folder()
    missing = [peer for peer in ENVIRONMENTS if not python_of(peer).exists()]
    if missing:
        pytest.skip(f"no environment: {python_of(missing[0])} is not there")
    command = [sys.executable, "benchmarks/training_speed.py", "--quick", "--bf16", "--data", str(data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["medians"]) == set(training_speed.PROGRAMS)
    assert all(
        0 < times < 1000 for peers in result["ratio"].values() for one in peers.values() for times in one.values()
    )
    for program in result["medians"].values():  # an update has at most its budget, and most of it is no padding
        assert 100 < program["tokens_per_update"] <= 2 * QUICK.batch_tokens
