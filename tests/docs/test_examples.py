"""The examples say what they promise, with the golden run. That they run as the README calls them: test_readme.py."""

import runpy
import sys

from .conftest import ROOT

GOLDEN = str(ROOT / "tests/golden/format-1")


def printed(capsys, monkeypatch, example, *arguments):
    monkeypatch.setattr(sys, "argv", [example, *arguments])
    runpy.run_path(str(ROOT / "examples" / example), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_attention_matrix_has_a_row_a_token_and_each_sums_to_one(capsys, monkeypatch):
    title, source, *rows = printed(capsys, monkeypatch, "attention.py", GOLDEN, "나는 학생입니다")
    assert title == "나는 학생입니다 -> I am a student"
    assert source.split()[-1] == rows[-1].split()[0] == "<eos>"
    columns = (len(source) - 12) // 9
    for row in rows:
        weights = [float(weight) for weight in row[12:].split()]
        assert len(weights) == columns and abs(sum(weights) - 1) < 0.01


def test_the_translations_come_in_order(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, "translate.py", GOLDEN, "나는 학생입니다", "나는 선생님입니다")
    assert lines[0].startswith("나는 학생입니다 -> I am a student ")
    assert lines[1].startswith("나는 선생님입니다 -> I am a teacher ")
