"""The example and the benchmark of this room run."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from clearhead.models.build import named_weights
from clearhead.runs.folder import RunFolder

from .test_translator import CONFIG, LINES, model, tokenizers  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[2]


def run(monkeypatch, path: str, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    runpy.run_path(str(ROOT / path), run_name="__main__")


def test_the_example_runs(model, tokenizers, tmp_path, monkeypatch, capsys):  # noqa: F811
    folder = RunFolder.create(tmp_path / "run", CONFIG, tokenizers)
    folder.write_weights(named_weights(model))
    run(monkeypatch, "examples/translate.py", str(folder.path), LINES[0], LINES[1])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{LINES[0]} -> ")
    assert lines[1].startswith(f"{LINES[1]} -> ")
    assert [line[:2] for line in lines[2:6]] == ["1.", "2.", "3.", "4."]
    assert lines[-1].startswith("log-probability of the pair: -")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_benchmark_runs_and_both_ways_agree(monkeypatch, capsys, precision):
    run(monkeypatch, "benchmarks/cached_decode.py", "--quick", "--precision", precision)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["ratio"] > 0
    assert result["same_sentences"] == 1.0 or precision == "bf16"
