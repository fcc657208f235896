"""The event log: what was written is read, a torn line is cut off, and a rewound log is that of an uncut training."""

import json
import math
import os

import pytest

from clearhead.errors import MachineError, RunError
from clearhead.runs.log import EventLog, read_log
from clearhead.training.events import Finished, Sample, Saved, Skipped, Started, Validated


def started(step):
    return Started(step, 100, 10, 10, 10, "fp32", "cpu", 1)


def without_time(events):
    return [{key: value for key, value in event.items() if key != "time"} for event in events]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def test_events_come_back_in_order(path):
    log = EventLog(path)
    assert read_log(path) == []
    log.write(started(0))
    log.write(Validated(5, {"loss": 0.1 + 0.2}, True, (Sample("안녕\u2028", "hi\n", "h\x85i"),)))
    log.write(Skipped(7, "loss"))
    first, second, third = read_log(path)
    assert first["event"] == "Started" and first["threads"] == 1 and first["time"] > 1.7e9
    assert second["scores"] == {"loss": 0.1 + 0.2} and second["best"] is True
    assert second["samples"] == [{"src": "안녕\u2028", "ref": "hi\n", "hyp": "h\x85i"}]
    assert third["step"] == 7 and path.read_bytes().count(b"\n") == 3


def test_numbers_that_json_does_not_know_become_null(path):
    EventLog(path).write(Validated(1, {"loss": math.nan, "perplexity": math.inf, "bleu": 1.5}, False))
    assert read_log(path)[0]["scores"] == {"loss": None, "perplexity": None, "bleu": 1.5}
    json.loads(path.read_bytes(), parse_constant=lambda name: pytest.fail(name))


def test_a_torn_last_line_is_cut_off_at_every_byte(path):
    log = EventLog(path)
    log.write(Skipped(1, "손실"))
    whole = path.read_bytes()
    log.write(Skipped(2, "손실"))
    both = path.read_bytes()
    for end in range(len(whole), len(both)):
        path.write_bytes(both[:end])
        assert [event["step"] for event in read_log(path)] == [1]
        EventLog(path).write(Skipped(3, "x"))
        assert [event["step"] for event in read_log(path)] == [1, 3]


def test_a_rewound_log_is_that_of_a_training_never_cut(tmp_path):
    def train(log, start, end):
        for step in range(start + 1, end + 1):
            if step % 2 == 0:
                log.write(Skipped(step, "even"))
            if step % 5 == 0:
                log.write(Saved(step, f"step-{step:08d}"))

    whole, cut = EventLog(tmp_path / "whole"), EventLog(tmp_path / "cut")
    whole.write(started(0))
    train(whole, 0, 30)
    cut.write(started(0))
    train(cut, 0, 17)
    cut.write(Finished(17, "interrupted", 1.0, ""))
    with open(tmp_path / "cut", "ab") as file:
        file.write(b'{"event": "Ski')
    again = EventLog(tmp_path / "cut")
    again.rewind(15)
    train(again, 15, 30)
    assert without_time(read_log(tmp_path / "cut")) == without_time(read_log(tmp_path / "whole"))


def test_a_finished_training_that_goes_on(path):
    log = EventLog(path)
    log.write(Finished(10, "max-steps", 1.0, ""))
    log.rewind(10)
    assert read_log(path) == []


@pytest.mark.parametrize("line", [b"junk", b"[1]", b"\xff", b"[" * 200_000, b"", b'{"step": "2"}', b'{"step": 1e400}'])
def test_a_line_that_is_no_event(path, line):
    path.write_bytes(b"{}\n" + line + b"\n{}\n")
    with pytest.raises(RunError) as caught:
        read_log(path)
    assert f"{path}:2: not an event" in caught.value.message("en") and "이벤트가 아닙니다" in caught.value.message("ko")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(path):
    os.mkfifo(path)
    for use in (lambda: read_log(path), lambda: EventLog(path).rewind(1)):
        with pytest.raises(RunError) as caught:
            use()
        assert caught.value.code == "file-not-regular"


def test_a_full_disk(path, cut, monkeypatch):
    log = EventLog(path)
    path.symlink_to("/dev/full")
    with pytest.raises(MachineError, match="no space left"):
        log.write(Skipped(1, "x"))


def test_a_kill_while_rewinding_leaves_the_old_or_the_new(path, cut):
    log = EventLog(path)
    for at in range(1, 20):
        for step in (1, 2, 3):
            log.write(Skipped(step, "x"))
        with cut(at) as this:
            log.rewind(1)
        assert [event["step"] for event in read_log(path)] in ([1, 2, 3], [1])
        if len(this.trace) < at:
            break
        log.rewind(0)
    assert at > 4  # a write, two fsyncs and a rename were cut off
