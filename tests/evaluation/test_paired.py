"""The paired test is sacreBLEU's, tells unlike systems apart and like ones not, and makes a table to print."""

import json
import subprocess
import sys

import pytest

from clearhead.config import EvaluationConfig
from clearhead.errors import CorpusError, UsageError
from clearhead.evaluation.paired import paired_test
from clearhead.evaluation.scores import score

NONE = EvaluationConfig(tokenize="none")


@pytest.fixture(scope="module")
def text(corpus):
    good, references = corpus(noise=0.1, seed=7)
    bad, _ = corpus(noise=0.6, seed=7)
    return {"good": good, "bad": bad, "good again": list(good)}, references


def test_unlike_systems_differ_and_a_copy_does_not(text):
    systems, references = text
    outcome = paired_test(systems, references, NONE)
    results = {(each.system, each.metric): each for each in outcome.results}
    assert {metric for _, metric in results} == {"BLEU", "chrF2", "TER"}
    for metric in ("BLEU", "chrF2", "TER"):
        assert results["good", metric].p_value is None
        assert results["bad", metric].p_value < 0.05
        assert results["good again", metric].p_value == 1.0
    alone = score(systems["bad"], references, NONE)
    assert results["bad", "BLEU"].value == pytest.approx(alone.bleu.value)
    assert results["bad", "TER"].interval == pytest.approx(alone.ter.interval, abs=1e-3)
    json.dumps(outcome.to_dict(), allow_nan=False)


@pytest.mark.parametrize(("test", "option"), [("bootstrap", "bs"), ("randomisation", "ar")])
def test_p_values_are_those_of_the_sacrebleu_command(tmp_path, text, test, option):
    systems, references = text
    for name, lines in {**systems, "ref": references}.items():
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    inputs = [tmp_path / name for name in systems]
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "ref", "-i", *inputs, "-m", "bleu", "-tok", "none"]
    options = [f"--paired-{option}", f"--paired-{option}-n", "200", "-f", "json", "-w", "6"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    theirs = [each["BLEU"] for each in json.loads(done.stdout)]
    outcome = paired_test(systems, references, NONE, test=test, samples=200)
    ours = [each for each in outcome.results if each.metric == "BLEU"]
    assert outcome.samples == 200 and f"{option}:200" in outcome.signatures["BLEU"]
    assert [each.value for each in ours] == pytest.approx([each["score"] for each in theirs], abs=1e-5)
    p_values = [each.p_value for each in ours]
    assert p_values == [None, pytest.approx(theirs[1]["p_value"], abs=1e-6), 1.0]
    assert theirs[2]["p_value"] < 0.05  # sacreBLEU on a copy of the baseline: the one place where we depart from it


def test_the_table(text):
    systems, references = text
    outcome = paired_test(systems, references, NONE, samples=100)
    english, korean = outcome.table("en"), outcome.table("ko")
    assert english[0] == ["System", "BLEU", "p", "chrF2", "p", "TER", "p"]
    assert [row[0] for row in english[1:]] == ["good (baseline)", "bad", "good again"]
    assert korean[1][0] == "good (기준)"
    assert english[1][2] == "" and english[2][2].endswith("*") and not english[3][2].endswith("*")
    assert "±" in english[2][1]
    assert len({len(row) for row in english}) == 1


def test_what_cannot_be_compared_is_refused(text):
    systems, references = text
    with pytest.raises(UsageError) as caught:
        paired_test({"good": systems["good"]}, references, NONE)
    assert "1 system" in caught.value.message("en")
    with pytest.raises(CorpusError):
        paired_test({"good": systems["good"], "short": ["a"]}, references, NONE)
    with pytest.raises(CorpusError):
        paired_test({"a": [], "b": []}, [], NONE)
