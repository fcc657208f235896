"""``kill -9``, for real, at every write, fsync and rename: what is found is the old or the new, whole."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable

import pytest
import torch

from clearhead.errors import MachineError
from clearhead.runs.checkpoints import check_checkpoint, latest_checkpoint, load_checkpoint, prune, save_checkpoint
from clearhead.runs.folder import RunFolder


def killed(work: Callable[[], object]) -> bool:
    """Do ``work`` in a process of its own; return whether that was killed on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the test's process has threads that sleep
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("step", [2, 1], ids=["another step", "the same step again"])
def test_a_checkpoint_killed_at_every_operation(tmp_path, config, joint, weights, cut, step):
    def save(run, step, number):
        save_checkpoint(run, step, weights(number), {"m": torch.ones(2) * number}, {"number": number})

    def save_cut(run, at):
        with cut(at, None):
            save(run, step, 2)

    found = []
    for at in range(1, 100):
        run = RunFolder.create(tmp_path / str(at), config, joint)
        save(run, 1, 1)
        ended = not killed(lambda run=run, at=at: save_cut(run, at))
        path, damaged = latest_checkpoint(run)
        checkpoint = load_checkpoint(path)
        assert not damaged and same(checkpoint.weights, weights(checkpoint.state["number"]))
        found.append(checkpoint.state["number"])
        save(run, 3, 1)
        assert latest_checkpoint(run)[0].name == "step-00000003"  # what the kill has left is in nobody's way
        if ended:
            break
    print(f"{at - 1} kills")
    assert found == sorted(found) and {*found} == {1, 2} and at > 15


def test_weights_killed_at_every_operation(tmp_path, config, joint, weights, cut):
    def write_cut(run, at):
        with cut(at, None):
            run.write_weights(weights(2))

    found = []
    for at in range(1, 100):
        run = RunFolder.create(tmp_path / str(at), config, joint)
        run.write_weights(weights(1))
        ended = not killed(lambda run=run, at=at: write_cut(run, at))
        scale = float(RunFolder.open(run.path).weights()["scale"])
        found.append([float(weights(number)["scale"]) for number in (1, 2)].index(scale) + 1)
        if ended:
            break
    print(f"{at - 1} kills")
    assert found == sorted(found) and {*found} == {1, 2} and at > 10


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
def test_an_error_at_every_operation_leaves_what_was_there(tmp_path, config, joint, weights, cut, problem):
    """Whatever fails, no file is cut short under a good name, and trying again once the disk is well succeeds."""
    ended = False
    for at in range(1, 100):
        run = RunFolder.create(tmp_path / str(at), config, joint)
        for step in (1, 2):
            save_checkpoint(run, step, weights(step), {}, {"number": step})
        try:
            with cut(at, problem) as this:
                save_checkpoint(run, 3, weights(3), {}, {"number": 3})
                prune(run, 1)
        except MachineError as error:
            assert error.exit_code == 5 and error.code == ("no-room" if problem.errno == 28 else "cannot-write")
        ended = len(this.trace) < at
        for path in run.checkpoints_path.glob("step-*"):
            check_checkpoint(path)
        path, damaged = latest_checkpoint(run)
        assert load_checkpoint(path).step in (2, 3) and not damaged
        save_checkpoint(run, 3, weights(3), {}, {"number": 3})
        prune(run, 1)
        assert load_checkpoint(latest_checkpoint(run)[0]).step == 3
        if ended:
            break
    print(f"{at - 1} errors")
    assert ended and at > 20
