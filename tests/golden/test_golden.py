"""Run folders of every format so far: this version reads them, and they say what they said when they were made."""

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clearhead.config import FORMAT
from clearhead.decoding.translator import Translator
from clearhead.runs.folder import RunFolder
from clearhead.runs.log import read_log

HERE = Path(__file__).parent
logits_of = runpy.run_path(str(HERE / "make.py"))["logits_of"]
FOLDERS = sorted(path for path in HERE.glob("format-*") if path.is_dir())

torch.set_num_threads(1)


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def golden(request):
    return request.param


def expected(golden):
    return json.loads((HERE / f"{golden.name}.json").read_text("utf-8"))


def test_there_is_one_of_each_format():
    assert [path.name for path in FOLDERS] == [f"format-{number}" for number in range(1, FORMAT + 1)]


def test_it_opens(golden):
    run = RunFolder.open(golden)
    assert run.config.format == int(golden.name.removeprefix("format-"))
    assert all(weight.dtype == torch.float32 for weight in run.weights().values())
    events = [event["event"] for event in read_log(run.log_path)]
    assert events[0] == "Started" and events[-1] == "Finished"


def test_it_translates_as_it_did(golden, tmp_path):
    shutil.copytree(golden, tmp_path / "moved")
    translator = Translator.load(tmp_path / "moved", device="cpu")
    then = expected(golden)["translations"]
    now = translator([translation["source"] for translation in then])
    assert [translation.text for translation in now] == [translation["text"] for translation in then]
    for found, recorded in zip(now, then):
        assert found.log_prob == pytest.approx(recorded["log_prob"], abs=1e-4)


def test_its_logits_are_what_they_were(golden):
    translator = Translator.load(golden, device="cpu")
    recorded = expected(golden)
    assert translator.tokenizers.src.encode(recorded["translations"][0]["source"]) == recorded["src"]
    logits = load_file(HERE / f"{golden.name}-logits.safetensors")["logits"]
    torch.testing.assert_close(logits_of(translator, recorded["src"], recorded["tgt"]), logits, rtol=1e-5, atol=1e-5)


def test_it_is_small():
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 300_000
