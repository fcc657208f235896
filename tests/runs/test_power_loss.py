"""After a power loss the old checkpoint is found, or the new one, and once saving had returned only the new one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from clearhead.errors import RunError
from clearhead.runs.checkpoints import latest_checkpoint, load_checkpoint, prune, save_checkpoint
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import EventLog, read_log
from clearhead.training.events import Skipped

from .power import lay_out, losses, recording, tree_of

MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"


def save(run, step, number, weights):
    save_checkpoint(run, step, weights(number), {"m": torch.ones(2) * number}, {"number": number})


def number_of(run: RunFolder, weights) -> int | None:
    """The newest checkpoint's number, read and held against what was saved; None where there is none."""
    path, damaged = latest_checkpoint(run)
    assert not damaged, damaged[0].message("en")
    if path is None:
        return None
    found = load_checkpoint(path)
    expected = weights(found.state["number"])
    assert all(torch.equal(found.weights[name], expected[name]) for name in expected)
    assert float(found.optimizer["m"][0]) == found.state["number"]
    return found.state["number"]


class Case:
    """A save into a run that has or has not a checkpoint already, recorded once and lost in every way."""

    def __init__(self, run, weights, monkeypatch, tmp_path: Path, old: int | None, step: int) -> None:
        self.run, self.weights, self.old = run, weights, old
        self.copy = tmp_path / "copy"
        if old is not None:
            save(run, 1, old, weights)
        self.before = tree_of(run.path)
        with recording(run.path, monkeypatch) as self.operations:
            save(run, step, 2, weights)

    def states(self, operations) -> int:
        """Look at every state; return how many there are."""
        count, found = 0, set()
        for done, tree in losses(self.before, operations):
            self.copy.mkdir()
            lay_out(tree, self.copy)
            number = number_of(RunFolder(self.copy, self.run.config, self.run.tokenizers()), self.weights)
            shutil.rmtree(self.copy)
            allowed = {2} if done == len(operations) else {self.old, 2}
            assert number in allowed, f"after {done} of {len(operations)} operations {number} is found"
            found.add(number)
            count += 1
        assert found == {self.old, 2}
        return count


@pytest.mark.parametrize(("old", "step"), [(None, 1), (1, 2), (1, 1)], ids=["the first", "another", "the same again"])
def test_every_state_after_a_power_loss(run, weights, monkeypatch, tmp_path, old, step):
    case = Case(run, weights, monkeypatch, tmp_path, old, step)
    count = case.states(case.operations)
    print(f"{count} states of {len(case.operations)} operations")
    assert count > 60


PARTIAL, PLACE = "checkpoints/.step-00000001.partial", "checkpoints/step-00000001"
SYNCS = [f"{PARTIAL}/{name}" for name in (MODEL, OPTIMIZER, STATE, MANIFEST)] + [PARTIAL, "checkpoints", "."]


@pytest.mark.parametrize("name", SYNCS)
def test_without_one_of_its_syncs_a_save_is_seen_to_lose(run, weights, monkeypatch, tmp_path, name):
    case = Case(run, weights, monkeypatch, tmp_path, None, 1)
    left_out = [operation for operation in case.operations if operation != ("sync", name, None)]
    assert len(left_out) == len(case.operations) - 1
    with pytest.raises(AssertionError):
        case.states(left_out)


def test_a_rename_before_the_syncs_is_seen_to_lose(run, weights, monkeypatch, tmp_path):
    case = Case(run, weights, monkeypatch, tmp_path, 1, 1)
    rename = case.operations.index(("rename", PARTIAL, PLACE))
    old = case.operations.index(("rename", PLACE, f"{PLACE}.old"))
    first = case.operations.index(("sync", f"{PARTIAL}/{MODEL}", None))
    between = [(what, path.replace(PARTIAL, PLACE), more) for what, path, more in case.operations[first:old]]
    early = [*case.operations[:first], *case.operations[old : rename + 1], *between, *case.operations[rename + 1 :]]
    with pytest.raises(AssertionError):
        case.states(early)


def test_pruning_loses_nothing_that_is_kept(run, weights, monkeypatch, tmp_path):
    for step in (1, 2, 3):
        save(run, step, step, weights)
    before = tree_of(run.path)
    with recording(run.path, monkeypatch) as operations:
        prune(run, 1)
    for _, tree in losses(before, operations):
        lay_out(tree, (copy := tmp_path / "copy"))
        for path in (copy / "checkpoints").glob("step-*"):
            load_checkpoint(path)  # none under a good name is half removed
        assert number_of(RunFolder(copy, run.config, run.tokenizers()), weights) == 3
        shutil.rmtree(copy)


class Weights:
    """A writing of the run's weights, lost in every way."""

    def __init__(self, run, weights, monkeypatch, tmp_path: Path, old: int | None) -> None:
        self.copy = tmp_path / "copy"
        self.scales = [float(weights(number)["scale"]) if number else None for number in (old, 2)]
        if old:
            run.write_weights(weights(old))
        self.before = tree_of(run.path)
        with recording(run.path, monkeypatch) as self.operations:
            run.write_weights(weights(2))

    def states(self, operations) -> None:
        found = set()
        for done, tree in losses(self.before, operations):
            self.copy.mkdir()
            lay_out(tree, self.copy)
            assert RunFolder.open(self.copy, weights=False)  # the training can go on in any case
            try:
                scale = float(RunFolder.open(self.copy).weights()["scale"])
            except RunError:
                assert not (self.copy / MODEL).exists()
                scale = None
            shutil.rmtree(self.copy)
            assert scale in (self.scales[1:] if done == len(operations) else self.scales)
            found.add(scale)
        assert found == {*self.scales}


@pytest.mark.parametrize("old", [None, 1])
def test_the_runs_weights_are_the_old_ones_or_the_new(run, weights, monkeypatch, tmp_path, old):
    case = Weights(run, weights, monkeypatch, tmp_path, old)
    case.states(case.operations)


@pytest.mark.parametrize("number", range(5))  # the last one only makes durable that the former ones are forgotten
def test_without_one_of_its_syncs_a_writing_of_weights_is_seen_to_lose(run, weights, monkeypatch, tmp_path, number):
    case = Weights(run, weights, monkeypatch, tmp_path, 1)
    syncs = [n for n, (what, _, _) in enumerate(case.operations) if what == "sync"]
    assert len(syncs) == 6
    left_out = [operation for n, operation in enumerate(case.operations) if n != syncs[number]]
    with pytest.raises((AssertionError, RunError)):
        case.states(left_out)


def test_a_log_with_a_lost_end_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    log = EventLog(path)
    for step in (1, 2, 3):
        log.write(Skipped(step, "x"))
    whole = path.read_bytes()
    end = whole.index(b"\n") + 1
    zeros = bytes(50) + whole[end + 50 :]
    cases = ((bytes(len(whole) - end), 0), (zeros, 1), (whole[end + 9 :], 1), (b"\xff\n{}\n[1]\n", 2))
    for lost, expected in cases:
        path.write_bytes(whole[:end] + lost)
        again = EventLog(path)
        dropped = again.rewind(1)
        again.write(Skipped(2, "x"))
        assert [event["step"] for event in read_log(path) if event] == [1, 2]
        assert dropped == expected
