"""Scoring runs from the command line."""

import hashlib
import json
import shutil

import pytest

from clearhead.cli import run
from clearhead.cli.report import report
from clearhead.cli.scoring import test_set_name as set_name
from clearhead.config import EvaluationConfig
from clearhead.evaluation.scores import score
from clearhead.runs.folder import RunFolder


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the run folder, for what is written into it."""
    shutil.copytree(trained, tmp_path / "first")
    return tmp_path / "first"


def test_scores_are_printed_and_kept(copied, corpus, capsys):
    files = [f"--src={corpus}/test.en", f"--ref={corpus}/test.ko"]
    assert run(["evaluate", str(copied), *files, "--tokenize=none", "--format=json"]) == 0
    said = capsys.readouterr()
    table = json.loads(said.out)["runs"][0]
    kept = json.loads((copied / "evaluations" / "test.json").read_text(encoding="utf-8"))
    assert kept == table and "evaluations/test.json" in said.err
    hypotheses = (copied / "evaluations" / "test.hyp.txt").read_text(encoding="utf-8").split("\n")[:-1]
    references = (corpus / "test.ko").read_text(encoding="utf-8").splitlines()
    assert table["scores"] == score(hypotheses, references, EvaluationConfig(tokenize="none"), "ko").to_dict()
    assert table["weights_sha256"] == hashlib.sha256((copied / "model.safetensors").read_bytes()).hexdigest()
    assert table["evaluation"]["tokenize"] == "none"
    assert table["scores"]["bleu"]["signature"] in (copied / "report.html").read_text(encoding="utf-8")
    folder = RunFolder.open(copied)
    report(folder)  # whoever writes it anew
    assert table["scores"]["bleu"]["signature"] in (copied / "report.html").read_text(encoding="utf-8")
    folder.write_weights({name: weight + 1 for name, weight in folder.weights().items()})
    report(folder)  # other weights have not been evaluated
    assert table["scores"]["bleu"]["signature"] not in (copied / "report.html").read_text(encoding="utf-8")


def test_several_runs_are_put_to_a_paired_test(copied, trained, corpus, tmp_path, capsys):
    second = tmp_path / "second"
    shutil.copytree(trained, second)
    arguments = ["evaluate", str(copied), str(second), f"--src={corpus}/test.en", f"--ref={corpus}/test.ko"]
    assert run([*arguments, "--beam-size=1", "--name=mine"]) == 0
    said = capsys.readouterr().out
    assert "baseline" in said and str(second) in said and "± " in said and "|version:" in said
    assert (second / "evaluations" / "mine.hyp.txt").exists()
    assert run([*arguments, "--format=markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0].startswith("| ") and lines[1].startswith("|---") and len({line.count("|") for line in lines[:4]}) == 1
    )


def test_of_several_runs_none_is_evaluated_where_one_cannot_be(copied, corpus, tmp_path, capsys):
    for files in ([f"--src={corpus}/test.en", f"--ref={corpus}/test.ko"], [f"--tsv={corpus}/test.en"]):
        assert run(["evaluate", str(copied), str(tmp_path / "missing"), *files]) in (2, 4)
        assert not (copied / "evaluations").exists()
    assert "where one of 'classification' is needed" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_one_run_for_people(copied, corpus, capsys, format):
    assert (
        run(["evaluate", str(copied), f"--src={corpus}/test.en", f"--ref={corpus}/test.ko", f"--format={format}"]) == 0
    )
    said = capsys.readouterr().out
    assert all(name in said for name in ("BLEU", "chrF2", "TER", "|version:"))


@pytest.mark.parametrize(
    ("name", "expected"), [("a.en", "a"), ("test_2016_flickr.en.gz", "test_2016_flickr"), ("b", "b")]
)
def test_the_test_set_is_named_after_its_file(tmp_path, name, expected):
    assert set_name(tmp_path / name) == expected


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize(
    ("content", "code"), [(b"one\n", 3), (b"", 3), (b"\xff\n" * 30, 3), (b"x" * 10_000_000 + b"\n", 3), (None, 3)]
)
def test_bad_references(copied, corpus, tmp_path, capsys, monkeypatch, language, content, code):
    monkeypatch.setenv("CLEARHEAD_LANG", language)
    ref = tmp_path / "ref.ko"
    if content is not None:
        ref.write_bytes(content)
    assert run(["evaluate", str(copied), f"--src={corpus}/test.en", f"--ref={ref}"]) == code
    said = capsys.readouterr()
    assert said.out == "" and str(ref) in said.err and said.err.count("\n") == 1 and "--skip-bad-lines" not in said.err
