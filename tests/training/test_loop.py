"""The training loop on a toy corpus: the same losses however it is cut, stopped and gone on with."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from clearhead import device
from clearhead.config import RunConfig, make_config
from clearhead.data.order import BatchOrder
from clearhead.errors import ClearheadError, MachineError, TrainingError
from clearhead.models.build import named_weights
from clearhead.runs.checkpoints import average_weights, checkpoint_path, load_checkpoint
from clearhead.runs.folder import RunFolder
from clearhead.training.events import Finished, Progress, Saved, Skipped, Started, Validated
from clearhead.training.session import open_training

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARHEAD_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS, k=draw.randint(2, 7))) for _ in range(400)]
    (tmp_path / "train.src").write_text("\n".join(lines) + "\n")
    (tmp_path / "train.tgt").write_text("\n".join(" ".join(reversed(line.split())) for line in lines) + "\n")
    return tmp_path


TRANSFORMER = {"d_model": 16, "d_ff": 32, "n_heads": 2, "n_encoder_layers": 1, "n_decoder_layers": 1}
RECURRENT = {"kind": "recurrent", "d_model": 16}
BATCH_NORM = {**TRANSFORMER, "norm": "batch"}
BAHDANAU = {**RECURRENT, "cell": "gru", "attention": "additive", "attends": "before"}


def config(corpus: Path, *overrides: str, model: Mapping[str, Any] = TRANSFORMER) -> RunConfig:
    table = {
        "data": {"root": str(corpus), "sources": [{"src": "train.src", "tgt": "train.tgt"}]},
        "tokenizer": {"vocabulary_size": 360},
        "model": dict(model),
        "training": {
            "max_steps": 12, "batch_tokens": 300, "log_every": 1, "validate_every": 5, "checkpoint_every": 4,
            "schedule": "constant", "learning_rate": 0.003, "warmup_steps": 2, "validate_metric": "bleu",
            "validate_sentences": 4, "keep_last": 9,
        },
    }  # fmt: skip
    return make_config(table, overrides)


def losses(events) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in events if isinstance(event, Progress)]


def test_the_events_of_a_training(corpus):
    training = open_training(config(corpus), corpus / "run")
    events = list(training.events())
    assert isinstance(events[0], Started) and events[0].train_pairs == 380 and events[0].valid_pairs == 20
    assert [e.step for e in events if isinstance(e, Progress)] == list(range(1, 13))
    assert [e.step for e in events if isinstance(e, Validated)] == [5, 10, 12]
    saved = [e.step for e in events if isinstance(e, Saved)]
    assert {4, 8, 12} <= set(saved) <= {4, 5, 8, 10, 12}
    last = events[-1]
    assert isinstance(last, Finished) and last.reason == "max-steps" and set(last.scores) >= {"loss", "bleu", "chrf"}
    assert all((training.run.path / e.path).is_dir() for e in events if isinstance(e, Saved))


@pytest.mark.parametrize(("every", "told"), [(5, [5, 10, 12]), (50, [12])])
def test_progress_is_told_at_the_end_whatever_the_interval(corpus, every, told):
    """Or a training shorter than the interval had no speed and no curve."""
    each = [event for event in open_training(config(corpus), corpus / "each").events() if isinstance(event, Progress)]
    training = open_training(config(corpus, f"training.log_every={every}"), corpus / "run")
    found = [event for event in training.events() if isinstance(event, Progress)]
    assert [event.step for event in found] == told
    assert sum(event.tokens for event in found) == sum(event.tokens for event in each)


@pytest.mark.parametrize(
    ("model", "stop_after"),
    [*((TRANSFORMER, step) for step in (1, 3, 5, 7, 10)), (RECURRENT, 5), (BAHDANAU, 7), (BATCH_NORM, 3)],
)
def test_stopped_and_gone_on_with_equals_uninterrupted_bit_for_bit(corpus, model, stop_after):
    wanted = config(corpus, model=model)
    whole = open_training(wanted, corpus / "whole")
    expected = losses(whole.events())
    first = open_training(wanted, corpus / "cut", should_stop=lambda: first.position.step >= stop_after)
    events = list(first.events())
    assert events[-1].reason == "interrupted" and events[-1].step == stop_after
    second = open_training(wanted, corpus / "cut", resume=True)
    assert losses(events) + losses(second.events()) == expected
    for name, weight in named_weights(whole.model).items():
        assert torch.equal(weight, named_weights(second.model)[name]), name
    for step in (4, 8, 12):
        a, b = (load_checkpoint(checkpoint_path(t.run, step)) for t in (whole, second))
        assert all(torch.equal(a.optimizer[name], b.optimizer[name]) for name in a.optimizer)
        for state in (a.state, b.state):
            del state["elapsed_s"], state["training_s"], state["since"]["seconds"]
        assert a.state == b.state


def test_micro_batches_change_nothing_but_rounding(corpus):
    plain = ["model.dropout=0.0", "training.precision=fp32"]
    whole = losses(open_training(config(corpus, *plain), corpus / "a").events())
    pieces = losses(open_training(config(corpus, *plain, "training.micro_batch_tokens=40"), corpus / "b").events())
    assert [step for step, _ in whole] == [step for step, _ in pieces]
    assert [loss for _, loss in whole] == pytest.approx([loss for _, loss in pieces], rel=1e-5)


@pytest.mark.parametrize("setting", ["auto", "256"])
def test_a_gpu_without_room_gets_smaller_pieces_and_the_same_update(corpus, setting):
    plain = ["model.dropout=0.0", "training.precision=fp32", "training.max_steps=3"]
    plain += [f"training.micro_batch_tokens={setting}"]
    whole = losses(open_training(config(corpus, *plain), corpus / "a").events())
    training = open_training(config(corpus, *plain), corpus / "b")
    update = training.updater.update

    def cramped(pieces, *rest):
        pieces = list(pieces)
        if max(piece.batch.src.numel() for piece in pieces) > 100:
            training.updater._accumulate(training.updater.replicas[0], pieces[:1], *rest[:2])  # gradients are left
            raise torch.OutOfMemoryError("CUDA out of memory")
        return update(pieces, *rest)

    training.updater.update = cramped
    assert [loss for _, loss in losses(training.events())] == pytest.approx([loss for _, loss in whole], rel=1e-5)
    assert training.micro_batch_tokens < 256


@pytest.mark.parametrize("call", [1, 2, 7])
def test_a_gpu_without_room_for_the_optimizer_ends_the_training_in_one_line(corpus, monkeypatch, call):
    """Smaller pieces would leave no more room for it, and half of its state has been made."""
    training = open_training(config(corpus), corpus / "run")
    zeros_like, calls = torch.zeros_like, iter(range(1, 1000))

    def full(*args, **kwargs):
        if next(calls) == call:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return zeros_like(*args, **kwargs)

    step = training.optimizer.step

    def cramped():
        with monkeypatch.context() as patch:
            patch.setattr(torch, "zeros_like", full)
            step()

    monkeypatch.setattr(training.optimizer, "step", cramped)
    before = training.micro_batch_tokens
    with pytest.raises(MachineError, match="moments") as caught:
        list(training.events())
    assert caught.value.exit_code == 5 and training.micro_batch_tokens == before


def test_the_runs_weights_are_the_mean_of_the_last_checkpoints(corpus):
    wanted = ["training.checkpoint_every=2", "training.average_last=3", "training.keep_last=1"]
    training = open_training(config(corpus, *wanted), corpus / "run")
    last = list(training.events())[-1]
    assert last.weights == "mean of steps [8, 10, 12]"
    expected = average_weights([checkpoint_path(training.run, step) for step in (8, 10, 12)])
    weights = training.run.weights()
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)
    name = "src_embedding.weight"
    each = [load_checkpoint(checkpoint_path(training.run, step)).weights[name] for step in (8, 10, 12)]
    torch.testing.assert_close(weights[name], sum(each) / 3)


def test_the_best_checkpoint_is_the_run_otherwise(corpus):
    training = open_training(config(corpus, "training.validate_metric=loss", "training.keep_last=1"), corpus / "run")
    events = list(training.events())
    best = min((e for e in events if isinstance(e, Validated)), key=lambda e: e.scores["loss"])
    assert events[-1].weights == f"best, step {best.step}"
    assert events[-1].scores["loss"] == pytest.approx(best.scores["loss"], rel=1e-6)


@pytest.mark.parametrize("metric", ["loss", "bleu", "chrf"])
def test_the_lowest_loss_and_the_highest_score_are_best(corpus, metric):
    training = open_training(config(corpus, f"training.validate_metric={metric}"), corpus / "run")
    given = iter([3.0, 1.0, 2.0])
    training.task.validate = lambda model, team: ({metric: next(given, 2.0)}, [])
    found = [event.best for event in training.events() if isinstance(event, Validated)]
    assert found == ([True, True, False] if metric == "loss" else [True, False, False])


def test_patience_ends_a_training_that_no_longer_gets_better(corpus):
    settings = ["training.learning_rate=1e-12", "training.patience=2", "training.validate_every=1"]
    training = open_training(config(corpus, *settings, "training.validate_metric=bleu"), corpus / "run")
    last = list(training.events())[-1]
    assert last.reason == "patience" and last.step == 3


def test_a_budget_of_minutes_counts_updates_alone_and_survives_a_stop(corpus, monkeypatch):
    """By a clock that goes on by a second whenever it is looked at: an update takes one, a validation none."""
    seconds = itertools.count()
    monkeypatch.setattr("clearhead.training.loop.time.perf_counter", lambda: float(next(seconds)))
    cosine = ["training.schedule=cosine", "training.warmup_steps=0", "training.learning_rate=1"]
    wanted = config(corpus, "training.max_minutes=0.1", "training.validate_every=2", "training.max_steps=1000", *cosine)
    falling = [0.5 * (1.0 + math.cos(math.pi * step / 6)) for step in range(6)]
    whole = list(open_training(wanted, corpus / "whole").events())
    assert (whole[-1].reason, whole[-1].step, whole[-1].training_s) == ("max-minutes", 6, 6.0)
    assert [(e.step, e.training_s) for e in whole if isinstance(e, Validated)] == [(2, 2.0), (4, 4.0), (6, 6.0)]
    assert [e.remaining_s for e in whole if isinstance(e, Progress)][-3:] == [2.0, 1.0, 0.0]
    assert [e.learning_rate for e in whole if isinstance(e, Progress)] == pytest.approx(falling)
    first = open_training(wanted, corpus / "cut", should_stop=lambda: first.position.step >= 4)
    assert [*first.events()][-1].reason == "interrupted"
    second = list(open_training(wanted, corpus / "cut", resume=True).events())
    assert (second[-1].reason, second[-1].step) == ("max-minutes", 6)
    assert [e.learning_rate for e in second if isinstance(e, Progress)] == pytest.approx(falling[4:])
    third = list(open_training(wanted, corpus / "cut", resume=True).events())
    assert [type(e) for e in third] == [Started, Finished] and third[-1].step == 6


def test_a_step_that_is_not_finite_changes_nothing_and_ten_end_the_training(corpus):
    never = ["training.validate_every=100", "training.checkpoint_every=100"]  # what is not finite is not saved
    training = open_training(config(corpus, "training.max_steps=20", *never), corpus / "run")
    before = {name: weight.clone() for name, weight in named_weights(training.model).items()}
    with torch.no_grad():
        training.model.decoder.layers[0].feed_forward.w_2.bias[0] = torch.nan
    events = training.events()
    seen = []
    with pytest.raises(TrainingError, match="step 10"):
        for event in events:
            if isinstance(event, Validated):
                continue
            seen.append(event)
    assert sum(isinstance(e, Skipped) for e in seen) == 9
    for name, weight in named_weights(training.model).items():
        assert torch.equal(weight.nan_to_num(), before[name].clone().nan_to_num()) or "w_2.bias" in name


def test_what_ten_bad_batches_have_not_changed_is_saved(corpus):
    never = ["training.validate_every=100", "training.checkpoint_every=100"]
    training = open_training(config(corpus, "training.max_steps=20", *never, model=BATCH_NORM), corpus / "run")
    loss, steps, good = training.updater.replicas[0].forward, itertools.count(1), {}

    def poisoned(batch, scale):
        smoothed, plain = loss(batch, scale)
        if next(steps) <= 3:
            return smoothed, plain
        for name, weight in named_weights(training.model).items():
            good.setdefault(name, weight.clone())
        return smoothed * math.inf, plain

    training.updater.replicas[0].forward = poisoned
    with pytest.raises(TrainingError, match="step 13"):
        list(training.events())
    kept = load_checkpoint(checkpoint_path(training.run, 13))
    assert kept.state["skipped"] == 0
    for name, weight in kept.weights.items():
        assert torch.equal(weight, good[name]) or name.endswith((".mean", ".variance")), name
    again = open_training(
        config(corpus, "training.max_steps=20", *never, model=BATCH_NORM), corpus / "run", resume=True
    )
    assert [e.step for e in again.events() if isinstance(e, Progress)] == list(range(14, 21))


def test_a_run_keeps_the_number_format_it_began_with(corpus, monkeypatch):
    wanted = config(corpus, "training.max_steps=4", "model.dropout=0.0")
    monkeypatch.setattr(device, "fast_bf16", lambda: "what it takes")
    first = open_training(wanted, corpus / "run", should_stop=lambda: first.position.step >= 2)
    assert first.device.precision == "bf16" and "what it takes" in first.device.reason
    list(first.events())
    assert RunFolder.open(corpus / "run").config.training.precision == "bf16"
    monkeypatch.setattr(device, "fast_bf16", lambda: "")
    for given in (wanted, RunFolder.open(corpus / "run").config):
        second = open_training(given, corpus / "run", resume=True)
        assert second.device.precision == second.config.training.precision == "bf16"
        assert given != wanted or second.device.reason == "as the run began"
    asked = config(corpus, "training.max_steps=4", "model.dropout=0.0", "training.precision=fp32")
    assert open_training(asked, corpus / "run", resume=True).device.precision == "fp32"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("model.d_model=32", "the weights are not those of this model"),
        ("tokenizer.vocabulary_size=340", "has been made already"),
        ('data.sources=[{src="gone",tgt="gone"}]', "gone"),
        ('training.freeze=["nothing"]', "no weight is called"),
        ("training.seed=2", "training.seed"),
        ("data.holdout=7", "data.holdout"),
        ("data.max_tokens=6", "data.max_tokens"),
        ('data.sources=[{src="train.src",tgt="train.tgt"},{src="train.src",tgt="train.tgt"}]', "data.sources"),
    ],
)
def test_what_does_not_go_with_a_run_is_refused_and_leaves_it_as_it_was(corpus, setting, problem):
    list(open_training(config(corpus, "training.max_steps=4"), corpus / "run").events())
    before = {path: path.read_bytes() for path in (corpus / "run").rglob("*") if path.is_file()}
    with pytest.raises(ClearheadError, match=problem):
        open_training(config(corpus, "training.max_steps=8", setting), corpus / "run", resume=True)
    assert before == {path: path.read_bytes() for path in (corpus / "run").rglob("*") if path.is_file()}
    rest = list(open_training(config(corpus, "training.max_steps=5"), corpus / "run", resume=True).events())
    assert [event.step for event in rest if isinstance(event, Progress)] == [5]
    assert RunFolder.open(corpus / "run").config.training.max_steps == 5


def test_with_validation_files_another_seed_is_another_order_and_no_other_validation(corpus):
    files = ['data.valid=[{src="train.src",tgt="train.tgt"}]', "training.max_steps=4"]
    first = open_training(config(corpus, *files), corpus / "run")
    list(first.events())
    later = [*files, "training.max_steps=6", "training.seed=2", "training.batch_tokens=200", "data.max_tokens=200"]
    second = open_training(config(corpus, *later), corpus / "run", resume=True)
    (_, indexes), *_ = itertools.islice(second._batches(), 1)
    # The batch of that number in the epoch's order as it is now; what the first four had been is not known any more.
    assert indexes.tolist() == BatchOrder(second.task.corpora.train, 200, 2).epoch(0)[4].tolist()
    assert len(second.task.corpora.valid) == len(first.task.corpora.valid)
    list(second.events())


@pytest.mark.parametrize("model", [TRANSFORMER, RECURRENT, BAHDANAU, {**RECURRENT, "cell": "rnn"}])
def test_two_workers_in_bf16_do_the_same_each_time(corpus, model):
    """Autocast's store of weights in bf16 is one for all threads: with it GRU's gradients were another each time."""
    torch.set_num_threads(2)
    wanted = config(corpus, "training.precision=bf16", "training.max_steps=3", model=model)
    found = [losses(open_training(wanted, corpus / f"run-{n}").events()) for n in range(3)]
    assert found[0] == found[1] == found[2]


def test_validation_decodes_with_the_tag_that_training_used(corpus):
    """Tag "rev" reverses, tag "same" copies: only with its tag can a validation sentence come out right."""
    same = {"src": "train.src", "tgt": "train.src", "tag": "same"}
    reverse = {"src": "train.src", "tgt": "train.tgt", "tag": "rev"}
    table = config(corpus).model_dump(exclude_none=True)
    table["data"] |= {"sources": [same, reverse], "valid": [reverse, same]}
    training = open_training(make_config(table), corpus / "run")
    task = training.task
    assert task.tags == ["rev"] * 4  # the first sentences are of the first source
    tag = training.task.corpora.tokenizers.src.tag_id("rev")
    seen = []
    encode = training.model.encode
    training.model.encode = lambda src, mask: seen.append(src[:, 0].tolist()) or encode(src, mask)
    task.validate(training.model, training.team)
    assert seen[-1] == [tag] * 4
