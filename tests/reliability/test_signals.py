"""SIGTERM and Ctrl-C, sent to a real process at a known place: a checkpoint within one step, and the exit code."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from clearhead.cli.stop import ECHO_S

from .training import arguments, finish, log_of, outcome, write_corpus


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The corpus, and a run of it that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    corpus = write_corpus(folder)
    assert finish({"mark": str(folder / "mark")}, arguments(corpus, folder / "run"), folder / "cache")[0] == 0
    return folder, folder / "run"


@pytest.mark.reliability
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize(("place", "call", "step"), [("updated", 7, 7), ("decode", 30, 5), ("piece", 40, 0)])
def test_a_stop_saves_within_one_step_and_changes_nothing(whole, tmp_path, name, code, place, call, step):
    folder, expected = whole
    plan = {"place": place, "call": call, "signals": [name], "mark": str(tmp_path / "mark")}
    out = tmp_path / "run"
    found, said = finish(plan, arguments(folder, out), folder / "cache")
    assert found == code and "a checkpoint will be written" in said and "Traceback" not in said
    last = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()][-1]
    assert last["event"] == "Finished" and last["reason"] == "interrupted"
    assert (out / "checkpoints" / f"step-{last['step']:08d}").is_dir()
    if step:  # in the middle of step 7; in the middle of the validation after step 5, which is not waited for
        assert last["step"] == step
        assert place != "decode" or not any(event["event"] == "Validated" for event in log_of(out))
    code, said = finish({"mark": str(tmp_path / "mark")}, arguments(folder, out), folder / "cache")
    assert code == 0, said
    told = [event for event in log_of(out) if event["event"] != "Saved"]  # a stop saves once more
    assert told == [event for event in log_of(expected) if event["event"] != "Saved"]
    assert outcome(out)["model.safetensors"] == outcome(expected)["model.safetensors"]


@pytest.mark.reliability
@pytest.mark.parametrize(("name", "codes"), [("SIGINT", {130, -signal.SIGINT}), ("SIGTERM", {-signal.SIGTERM})])
def test_a_second_signal_ends_at_once(whole, tmp_path, name, codes):
    folder, _ = whole
    signals = [name, name, 2 * ECHO_S, name]  # the second is the first one's echo
    plan = {"place": "updated", "call": 6, "signals": signals, "mark": str(tmp_path / "mark")}
    out = tmp_path / "run"
    code, said = finish(plan, arguments(folder, out), folder / "cache")
    assert code in codes and "Traceback" not in said  # a shell says 143 of a process that SIGTERM has ended
    assert max(event["step"] for event in log_of(out)) < 6
    assert finish({"mark": str(tmp_path / "mark")}, arguments(folder, out), folder / "cache")[0] == 0
