"""What a training does when the disk fails it, when a stop comes, and when numbers are not finite."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import pytest
import torch

from clearhead.data.order import BatchOrder
from clearhead.errors import MachineError, TrainingError
from clearhead.models.build import named_weights
from clearhead.runs.checkpoints import check_checkpoint, checkpoint_path, latest_checkpoint, load_checkpoint
from clearhead.runs.faults import FaultsError
from clearhead.runs.files import Stamp
from clearhead.runs.manifest import manifest_bytes, read_manifest
from clearhead.training import keeping, loop
from clearhead.training.events import Finished, NotUsed, Progress, Saved, SaveFailed, Skipped, Validated
from clearhead.training.session import open_training

from .test_loop import config, corpus  # noqa: F401 - a fixture

FULL = OSError(28, "No space left on device")


@pytest.fixture
def pauses(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_PAUSES_S", (0.0, 0.0, 0.0))


def failing(monkeypatch, name: str, which: set[int]) -> None:
    """Let some calls of a function that a training saves with fail as on a full disk."""
    function, calls = getattr(keeping, name), iter(range(1, 1000))

    def fails(*args, **kwargs):
        if next(calls) in which:
            raise MachineError("no-room", path="run", needed_mb=1.0) from FULL
        return function(*args, **kwargs)

    monkeypatch.setattr(keeping, name, fails)


def weights_of(training) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in named_weights(training.model).items()}


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- the disk


@pytest.mark.parametrize("name", ["begin_checkpoint", "write_part", "finish_checkpoint", "prune", "average_weights"])
def test_a_save_that_fails_is_tried_again_and_nothing_comes_out_otherwise(corpus, monkeypatch, pauses, name):  # noqa: F811
    settings = ["training.average_last=2"]
    whole = open_training(config(corpus, *settings), corpus / "whole")
    expected = [event for event in whole.events() if isinstance(event, Saved)]
    failing(monkeypatch, name, {1} if name == "average_weights" else {2, 3, 5})
    training = open_training(config(corpus, *settings), corpus / "run")
    events = list(training.events())
    failed = [event for event in events if isinstance(event, SaveFailed)]
    assert len(failed) == (1 if name == "average_weights" else 3)
    assert "no space left" in failed[0].problem
    assert [event for event in events if isinstance(event, Saved)] == expected
    assert same(training.run.weights(), whole.run.weights())


def test_a_disk_that_stays_full_ends_the_training_and_the_last_checkpoint_stays(corpus, monkeypatch, pauses):  # noqa: F811
    training = open_training(config(corpus), corpus / "run")
    failing(monkeypatch, "write_part", set(range(2, 1000)))
    with pytest.raises(MachineError) as caught:
        list(training.events())
    assert caught.value.exit_code == 5
    assert latest_checkpoint(training.run)[0].name == "step-00000004"
    monkeypatch.undo()
    again = open_training(config(corpus), corpus / "run", resume=True)
    assert again.position.step == 4
    assert list(again.events())[-1].reason == "max-steps"


def test_each_pause_is_told_before_it_is_waited_and_a_stop_ends_it(corpus, monkeypatch):  # noqa: F811
    monkeypatch.setattr(loop, "SAVE_PAUSES_S", (600.0, 600.0, 600.0))
    failing(monkeypatch, "write_part", set(range(1, 1000)))
    asked = []
    training = open_training(config(corpus), corpus / "run", should_stop=lambda: bool(asked))
    events = []
    with pytest.raises(MachineError):
        for event in training.events():
            events.append(event)
            if isinstance(event, SaveFailed):
                asked.append(True)
    assert [event.pause_s for event in events if isinstance(event, SaveFailed)] == [600.0] * 3


# --- damage


def test_a_damaged_checkpoint_does_not_push_out_whole_ones(corpus):  # noqa: F811
    """Going on in front of a damaged checkpoint, the new ones are kept although they are older by number."""
    settings = ["training.keep_last=1", "training.validate_every=100", "training.max_steps=8"]
    list(open_training(config(corpus, *settings), corpus / "run").events())
    first = open_training(config(corpus, *settings), corpus / "run", resume=True)
    damaged = checkpoint_path(first.run, 8) / "model.safetensors"
    whole = open_training(config(corpus, *settings, "training.max_steps=4"), corpus / "other")
    list(whole.events())
    checkpoint_path(whole.run, 4).rename(checkpoint_path(first.run, 4))
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    asked = iter([False, True, True, True])
    second = open_training(config(corpus, *settings), corpus / "run", resume=True, should_stop=lambda: next(asked))
    assert second.position.step == 4 and "step-00000008: damaged" in second.damaged[0]
    last = list(second.events())[-1]
    assert last.reason == "interrupted" and last.step == 6
    check_checkpoint(checkpoint_path(second.run, last.step))
    assert load_checkpoint(latest_checkpoint(second.run)[0]).step == last.step


def test_nothing_is_begun_anew_where_every_checkpoint_is_damaged(corpus):  # noqa: F811
    training = open_training(config(corpus), corpus / "run")
    list(training.events())
    for path in training.run.checkpoints_path.glob("step-*/state.json"):
        path.write_bytes(b"{}")
    before = {path.name for path in training.run.checkpoints_path.iterdir()}
    with pytest.raises(FaultsError, match="no checkpoint is whole") as caught:
        open_training(config(corpus), corpus / "run", resume=True)
    assert caught.value.exit_code == 4 and "온전한 체크포인트" in caught.value.message("ko")
    assert before == {path.name for path in training.run.checkpoints_path.iterdir()}


def test_the_mean_is_taken_of_those_that_are_whole(corpus):  # noqa: F811
    settings = ["training.average_last=3", "training.keep_last=3"]
    training = open_training(config(corpus, *settings), corpus / "run")
    list(training.events())
    (checkpoint_path(training.run, 8) / "model.safetensors").write_bytes(b"")
    events = list(open_training(config(corpus, *settings), corpus / "run", resume=True).events())
    (problem,) = [event.problem for event in events if isinstance(event, NotUsed)]
    assert "step-00000008" in problem
    assert events[-1].weights == "mean of steps [4, 12]"


@pytest.mark.parametrize(
    "change",
    [
        {"step": "1"}, {"epoch": -1}, {"batch": 1.5}, {"best": None}, {"elapsed_s": float("nan")}, {"more": 1},
        {"since": 3}, {"since": {"loss": 1}}, {"since": {"seconds": float("inf")}}, {"validation_due": 1},
        {"epoch": 2**60}, {"since": {"began": 0.0}},
    ],
)  # fmt: skip
def test_a_state_that_is_not_a_trainings_is_refused(corpus, change):  # noqa: F811
    training = open_training(config(corpus, "training.max_steps=4"), corpus / "run")
    list(training.events())
    path = checkpoint_path(training.run, 4)
    content = json.loads((path / "state.json").read_text())
    content["state"] |= change
    restate(path, json.dumps(content).encode())
    with pytest.raises(Exception, match="foreign or wrong"):
        open_training(config(corpus), corpus / "run", resume=True)


def restate(path, content: bytes) -> None:
    """Write another state into a checkpoint, as a folder from elsewhere may have it."""
    (path / "state.json").write_bytes(content)
    stamps = {**read_manifest(path), "state.json": (Stamp(len(content), hashlib.sha256(content).hexdigest()),)}
    (path / "manifest.json").write_bytes(manifest_bytes(stamps))


def test_a_state_of_an_older_version_is_read(corpus):  # noqa: F811
    training = open_training(config(corpus, "training.max_steps=4"), corpus / "run")
    list(training.events())
    path = checkpoint_path(training.run, 4)
    content = json.loads((path / "state.json").read_text())
    del content["state"]["since"], content["state"]["validation_due"]
    restate(path, json.dumps(content).encode())
    assert open_training(config(corpus), corpus / "run", resume=True).position.step == 4


# --- stopping


def test_a_stop_waits_for_no_validation_and_resuming_makes_up_for_it(corpus):  # noqa: F811
    whole = open_training(config(corpus), corpus / "whole")
    expected = list(whole.events())

    asked = []
    first = open_training(config(corpus), corpus / "run", should_stop=lambda: bool(asked))
    loss = first.task.loss

    def loss_with_a_stop_in_it(model, smoothing):
        if first.position.step == 10:
            asked.append(True)
        return loss(model, smoothing)

    first.task.loss = loss_with_a_stop_in_it
    events = list(first.events())
    assert events[-1].reason == "interrupted" and events[-1].step == 10
    assert [event.step for event in events if isinstance(event, Validated)] == [5]
    assert load_checkpoint(checkpoint_path(first.run, 10)).state["validation_due"]

    second = open_training(config(corpus), corpus / "run", resume=True)
    events += second.events()
    assert [(e.step, e.scores) for e in events if isinstance(e, Validated)] == [
        (e.step, e.scores) for e in expected if isinstance(e, Validated)
    ]
    assert [(e.step, e.loss) for e in events if isinstance(e, Progress)] == [
        (e.step, e.loss) for e in expected if isinstance(e, Progress)
    ]
    assert same(second.run.weights(), whole.run.weights())


def test_stopped_at_the_last_step_the_last_validation_is_made_up_for(corpus):  # noqa: F811
    asked = []
    first = open_training(config(corpus), corpus / "run", should_stop=lambda: bool(asked))
    for event in first.events():
        if isinstance(event, Progress) and event.step == 12:
            asked.append(True)
    second = open_training(config(corpus), corpus / "run", resume=True)
    events = list(second.events())
    assert [type(event) for event in events][1:] == [Validated, Saved, Finished] and events[-1].step == 12


def test_out_of_patience_stays_out_of_patience(corpus):  # noqa: F811
    """A kill between the last checkpoint and the run's weights: gone on with, it ends as it would have ended."""
    settings = ["training.learning_rate=1e-12", "training.patience=2", "training.validate_every=1"]
    first = open_training(config(corpus, *settings), corpus / "run")
    for event in first.events():
        if isinstance(event, Saved) and event.step == 3:
            break
    last = list(open_training(config(corpus, *settings), corpus / "run", resume=True).events())[-1]
    assert (last.step, last.reason) == (3, "patience")


def test_means_between_progress_events_are_whole_after_a_resume(corpus):  # noqa: F811
    settings = ["training.log_every=5"]
    expected = [e.loss for e in open_training(config(corpus, *settings), corpus / "a").events() if type(e) is Progress]
    first = open_training(config(corpus, *settings), corpus / "b")
    for event in first.events():
        if isinstance(event, Saved) and event.step == 8:
            break
    events = list(open_training(config(corpus, *settings), corpus / "b", resume=True).events())
    assert [event.loss for event in events if type(event) is Progress] == expected[1:]


# --- numbers


def test_a_batch_that_is_not_finite_is_skipped_named_and_harmless(corpus):  # noqa: F811
    training = open_training(config(corpus, "training.max_steps=6"), corpus / "run")
    update = training.updater.update

    def poisoned(pieces, tokens, step, rate):
        if step != 3:
            return update(pieces, tokens, step, rate)
        before = weights_of(training)
        with torch.no_grad():
            training.model.encoder.layers[0].feed_forward.w_2.bias[0] = torch.inf
        outcome = update(pieces, tokens, step, rate)
        with torch.no_grad():
            training.model.encoder.layers[0].feed_forward.w_2.bias[0] = before[
                "encoder.layers.0.feed_forward.w_2.bias"
            ][0]
        assert not outcome.applied and same(weights_of(training), before)
        return outcome

    training.updater.update = poisoned
    events = list(training.events())
    (skipped,) = [event for event in events if isinstance(event, Skipped)]
    assert (skipped.step, skipped.epoch, skipped.batch) == (3, 0, 2) and len(skipped.pairs) > 3
    number = [int(pair.removeprefix("1:")) for pair in skipped.pairs]
    assert all(1 <= n <= 400 for n in number)
    lines = (corpus / "train.src").read_text().splitlines()
    indexes = BatchOrder(training.task.corpora.train, 300, training.config.training.seed).epoch(0)[2]
    found = [training.task.corpora.tokenizers.src.decode(training.task.corpora.train.pair(int(i))[0]) for i in indexes]
    assert found == [lines[n - 1] for n in number]  # the numbers are those of the file's lines
    for checkpoint in training.run.checkpoints_path.glob("step-*"):
        kept = load_checkpoint(checkpoint)
        assert all(torch.isfinite(t).all() for t in (*kept.weights.values(), *kept.optimizer.values()))


def test_the_error_names_the_batch(corpus):  # noqa: F811
    never = ["training.validate_every=100", "training.checkpoint_every=100"]
    training = open_training(config(corpus, "training.max_steps=20", *never), corpus / "run")
    with torch.no_grad():
        training.model.decoder.layers[0].feed_forward.w_2.bias[0] = torch.nan
    with pytest.raises(TrainingError) as caught:
        list(training.events())
    assert caught.value.exit_code == 6
    message = caught.value.message("en")
    assert "in batch 9 of epoch 0 (source:pair 1:" in message and "the newest checkpoint is from before them" in message
    assert "에포크 0의 9번 배치" in caught.value.message("ko")


@pytest.mark.parametrize("where", ["weight", "exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_what_is_not_finite_is_never_saved(corpus, where, number):  # noqa: F811
    """An embedding of a token that no batch holds leaves every loss finite."""
    training = open_training(config(corpus, "training.validate_every=100"), corpus / "run")
    gone_on_with = training.events()
    assert any(isinstance(event, Saved) for event in gone_on_with)  # the first one is reached, and no more
    name, weight = next(iter(training.model.named_parameters()))
    assert "embedding" in name
    unused = 70  # a byte that the corpus does not hold
    with torch.no_grad():
        (weight if where == "weight" else training.optimizer.state[weight][where])[unused] = number
    with pytest.raises(TrainingError, match="not finite, so it is not saved") as caught:
        list(gone_on_with)
    assert name in caught.value.fields["tensor"] and caught.value.exit_code == 6
    run = open_training(config(corpus), corpus / "run", resume=True)
    assert run.position.step == 4 and not run.damaged
    with pytest.raises(TrainingError, match="not finite"):
        run.run.write_weights({"w": torch.tensor([1.0, number])})


def test_what_one_process_may_not_save_ends_the_training_of_all(corpus):  # noqa: F811
    """None is left waiting for it, and none tries again."""
    keeper = open_training(config(corpus), corpus / "run").keeper
    full = MachineError("no-room", path="run", needed_mb=1.0)
    bad = TrainingError("state-not-finite", tensor="w")

    def save(error: Exception) -> None:
        raise error

    heard = []
    for error in (bad, full):
        keeper.team.gather = lambda word: heard.append(word) or [word, *heard[:1]]
        with pytest.raises(TrainingError, match="not finite"):
            keeper._together(partial(save, error), True)
    assert len(heard) == 2


def test_gradients_too_large_to_square_are_skipped(corpus):  # noqa: F811
    """Their norm may be finite where their squares, which Adam keeps, are not."""
    training = open_training(config(corpus, "training.clip_norm=0", "training.max_steps=4"), corpus / "run")
    weight = training.updater.weights[0]

    def enlarge(weight: torch.Tensor) -> None:
        weight.grad.view(-1)[0] = 1e25

    weight.register_post_accumulate_grad_hook(enlarge)
    events = list(training.events())
    assert sum(isinstance(event, Skipped) for event in events) == 4


@pytest.mark.parametrize("settings", [[], ["training.validate_every=100", "training.max_steps=2"]])
def test_weights_too_large_to_compute_with_end_the_training_as_such(corpus, settings):  # noqa: F811
    """They are finite; validating them, on the way or in the end, is no fault of a run folder."""
    wanted = config(corpus, "training.learning_rate=1e30", "training.checkpoint_every=100", *settings)
    training = open_training(wanted, corpus / "run")
    with pytest.raises(TrainingError, match=r"loss on validation text is (nan|inf)") as caught:
        list(training.events())
    assert caught.value.exit_code == 6 and "learning_rate" in caught.value.message("ko")
    assert all(torch.isfinite(weight).all() for weight in named_weights(training.model).values())
