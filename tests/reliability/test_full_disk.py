"""A disk that is really full, in the middle of a real training."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .training import arguments, finish, log_of, outcome, start, write_corpus

ROOM = "2m"
"""Several checkpoints of the tiny model, but not all that the training keeps."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if subprocess.run(line, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all room that is left."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError


@pytest.mark.reliability
@pytest.mark.parametrize("freed", [True, False], ids=["freed in time", "full to the end"])
def test_a_full_disk_loses_nothing(tmp_path: Path, disk: Path, freed: bool) -> None:
    corpus, cache, mark = write_corpus(tmp_path), tmp_path / "cache", tmp_path / "mark"
    assert finish({"mark": str(mark)}, arguments(corpus, tmp_path / "whole"), cache)[0] == 0
    out, plan = disk / "run", {"mark": str(mark), "pauses": [0.5, 1.0, 20.0 if freed else 2.0]}
    with start(plan, arguments(corpus, out), cache) as process:
        while not (out / "checkpoints" / "step-00000008").is_dir():
            assert process.poll() is None
            time.sleep(0.02)
        filler, lines = fill(disk), []
        assert process.stderr
        for line in process.stderr:
            lines.append(line)
            if freed and "not saved" in line and "in 20 s" in line:
                threading.Timer(1.0, filler.unlink).start()
        code, said = process.wait(60), "".join(lines)
    assert said.count("  not saved: ") >= 3 and "no space left on the disk" in said
    if not freed:
        assert code == 5 and lines[-1].startswith("clearhead: ") and "--resume" in lines[-1]
        filler.unlink()
        code, said = finish({"mark": str(mark)}, arguments(corpus, out), cache)
    assert code == 0, said
    found, expected = outcome(out), outcome(tmp_path / "whole")
    assert found["model.safetensors"] == expected["model.safetensors"]
    told = [event for event in log_of(out) if event["event"] != "SaveFailed"]
    assert told == log_of(tmp_path / "whole")
    assert all(json.loads((step / "state.json").read_text()) for step in (out / "checkpoints").glob("step-*"))
