"""What the command line says, and exits with, when a checkpoint is damaged or the disk takes nothing more."""

from __future__ import annotations

import json
import shutil

import pytest

from clearhead.cli import run
from clearhead.errors import MachineError
from clearhead.runs import files
from clearhead.runs.log import EventLog
from clearhead.training import loop


def events(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_gone_on_with(trained, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    newest = out / "checkpoints" / "step-00000012" / "optimizer.safetensors"
    content = newest.read_bytes()
    newest.write_bytes(content[:-1] + bytes([content[-1] ^ 4]))
    assert run(["train", "--resume", f"--out={out}", "--threads=1"]) == 0
    said = capsys.readouterr().err
    assert f"not used: {newest.parent}: damaged checkpoint: optimizer.safetensors: changed since it was written" in said
    assert "from step 6 to 12" in said
    assert newest.read_bytes() == content  # trained once more, to the same bits


def test_a_log_that_the_disk_does_not_take_is_kept_and_written_later(corpus, tmp_path, capsys, train_arguments):
    out, flush, calls = tmp_path / "run", EventLog.flush, iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventLog, "flush", lambda log: fail_on(next(calls), range(3, 7)) or flush(log))
        assert run(train_arguments(corpus, out)) == 0
    said = capsys.readouterr().err
    assert said.count("not written:") == 1 and "the training goes on" in said
    whole = tmp_path / "whole"
    assert run(train_arguments(corpus, whole)) == 0
    assert [(event["event"], event["step"]) for event in events(out)] == [
        (event["event"], event["step"]) for event in events(whole)
    ]


def fail_on(call: int, which: range) -> None:
    if call in which:
        raise MachineError("no-room", path="log.jsonl", needed_mb=0.1)


def test_a_log_that_is_never_taken_ends_with_5_and_every_checkpoint(corpus, tmp_path, capsys, train_arguments):
    out, flush, calls = tmp_path / "run", EventLog.flush, iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventLog, "flush", lambda log: fail_on(next(calls), range(3, 99)) or flush(log))
        assert run(train_arguments(corpus, out)) == 5
    assert "no space left on the disk" in capsys.readouterr().err.splitlines()[-1]
    assert (out / "checkpoints" / "step-00000012").is_dir() and (out / "model.safetensors").is_file()
    assert run(["train", "--resume", f"--out={out}", "--threads=1"]) == 0
    assert events(out)[-1]["event"] == "Finished"


def test_a_full_disk_is_tried_again_told_and_ends_with_5(corpus, tmp_path, capsys, train_arguments, monkeypatch):
    out = tmp_path / "run"
    write_file = files.write_file

    def full(path, chunks):
        if "step-00000012" in str(path):
            raise OSError(28, "No space left on device")
        return write_file(path, chunks)

    monkeypatch.setattr("clearhead.runs.checkpoints.write_file", full)
    monkeypatch.setattr(loop, "SAVE_PAUSES_S", (0.0, 0.1))
    assert run(train_arguments(corpus, out)) == 5
    lines = capsys.readouterr().err.splitlines()
    tries = [line for line in lines if line.startswith("step 12  not saved: ")]
    assert len(tries) == 2 and "the former checkpoint stays; trying again in 0.1 s" in tries[1]
    assert lines[-1].startswith("clearhead: ") and "no space left on the disk" in lines[-1] and "--resume" in lines[-1]
    assert [event["event"] for event in events(out)][-2:] == ["SaveFailed"] * 2
    monkeypatch.undo()
    assert run(["train", "--resume", f"--out={out}", "--threads=1"]) == 0
    assert events(out)[-1]["step"] == 12


def test_a_run_whose_manifest_is_lost_is_not_taken_for_an_empty_folder(
    trained, corpus, tmp_path, capsys, train_arguments
):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    (out / "manifest.json").unlink()
    assert run(train_arguments(corpus, out)) == 2
    assert "a run is there already" in capsys.readouterr().err
    assert (out / "checkpoints" / "step-00000012").is_dir()


def test_a_run_whose_making_was_cut_off_is_begun_by_resume(trained, corpus, tmp_path, train_arguments):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(trained / "run.toml", out)
    assert run([*train_arguments(corpus, out, steps=3), "--resume"]) == 0
    assert events(out)[-1]["step"] == 3


WRONG = [
    (["--set=training.freeze=['encodr.*']"], "no weight is called 'encodr.*'"),
    (["--valid-src=missing.en", "--valid-tgt=missing.ko"], "missing.en: cannot be read"),
    (["--set=training.init_from=['missing']"], "missing: no such run folder"),
]


@pytest.mark.parametrize(("flags", "said"), WRONG)
def test_a_mistake_found_late_takes_no_run_away_and_leaves_none(
    trained, corpus, tmp_path, capsys, train_arguments, flags, said
):
    out = tmp_path / "run"
    for _ in range(2):  # so the mended command needs no --overwrite
        assert run([*train_arguments(corpus, out, steps=3), *flags]) in (2, 3, 4)
        assert said in capsys.readouterr().err and not out.exists()
    shutil.copytree(trained, out)
    before = sorted((path, path.read_bytes()) for path in out.rglob("*") if path.is_file())
    assert run([*train_arguments(corpus, out, "--overwrite", steps=3), *flags]) in (2, 3, 4)
    assert said in capsys.readouterr().err
    assert sorted((path, path.read_bytes()) for path in out.rglob("*") if path.is_file()) == before


def test_a_run_may_begin_from_the_one_that_it_replaces(trained, corpus, tmp_path, capsys, train_arguments):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    assert run([*train_arguments(corpus, out, "--overwrite", steps=3), f"--set=training.init_from=['{out}']"]) == 0
    said = capsys.readouterr().err
    assert f"from {out}: " in said and "the learning rate does not come to its peak" in said
    assert events(out)[-1]["step"] == 3
