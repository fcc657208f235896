"""The report is one whole page that asks nothing of the network, takes text as text, and speaks both languages."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearhead.errors import MachineError
from clearhead.reporting.history import History
from clearhead.reporting.parts import write_page
from clearhead.reporting.report import report
from clearhead.reporting.words import WORDS, both, duration

VOID = {"meta", "br", "hr", "img", "input", "link"}
BY_SVG = {"path", "circle", "polyline"}
EVIL = '</dd></script><script>alert(1)</script><img src=x onerror=alert(1)>"\' onload="x" {0} {step} & &lt;'


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in BY_SVG
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        classes = [attributes.get("class") for _, attributes in self.elements[-1:]]
        self.texts.append((self.open[-1] if self.open else "", classes, data))

    def words(self):
        """All that is text on the page, in both languages."""
        return " ".join(data for tag, _, data in self.texts if tag not in ("style", "script"))


def full(run, **options):
    return report("runs/x", run.config, run.events(), {"test": run.scores()}, run.lost, **options)


def test_both_languages_have_the_same_words_and_fields():
    english, korean = WORDS["en"], WORDS["ko"]
    assert english.keys() == korean.keys()
    for key in english:
        fields = [{name for _, name, _, _ in Formatter().parse(words[key]) if name} for words in (english, korean)]
        assert fields[0] == fields[1], key
        assert english[key].strip() and korean[key].strip()


def test_nothing_is_left_untranslated(run):
    """Each English phrase on the page is followed by its Korean one, and no letters stand outside such a pair."""
    text = full(run)
    pairs = re.findall(r'class="t-en" lang="en">([^<]*)</t?span><t?span class="t-ko" lang="ko">([^<]*)</t?span>', text)
    assert len(pairs) == text.count('class="t-en"') == text.count('class="t-ko"') > 30
    without = re.sub(
        r'<(t?span) class="t-(en|ko)"[^>]*>[^<]*</\1>|<style>.*?</style>|<script>.*?</script>', "", text, flags=re.S
    )
    without = re.sub(r"<code>[^<]*</code>|<button.*?</button>|<title>.*?</title>", "", without)
    names = {"runs/x", "ko", "en", "clearhead", "BLEU", "chrF2", "TER", "M", "k", *run.config, "bleu", "chrf"}
    for data in Page(without).words().split():
        letters = data.strip("()·,:±×")
        if re.search(r"[A-Za-z가-힣]", letters) and not re.fullmatch(r"[\d.,]+k?", letters):
            samples = " ".join(part for event in run.events() for s in event.get("samples", ()) for part in s.values())
            assert letters in names or letters in samples or letters == "0.1.0", letters


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_language_asked_for_is_shown(run, language):
    page = Page(full(run, language=language))
    assert next(attributes for tag, attributes in page.elements if tag == "html")["lang"] == language
    pressed = {a["data-language"]: a["aria-pressed"] for tag, a in page.elements if tag == "button"}
    assert pressed == {each: "true" if each == language else "false" for each in WORDS}


def test_nothing_is_fetched(run):
    text = full(run)
    assert "http://" not in text.replace("http-equiv", "") and "https://" not in text
    assert "@import" not in text and "url(" not in text
    for tag, attributes in Page(text).elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "image", "use", "form")
        assert not {"src", "href", "xlink:href", "style", "srcset", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)


def test_the_policy_lets_only_our_own_style_and_script_run(run):
    text = full(run)
    policy = next(a["content"] for tag, a in Page(text).elements if tag == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_text_is_text_wherever_it_comes_from(run):
    events = run.events()
    for event in events:
        event |= {"precision": EVIL, "device": EVIL, "threads": EVIL} if event["event"] == "Started" else {}
        event |= {"samples": [{"src": EVIL, "ref": EVIL, "hyp": EVIL}]} if event["event"] == "Validated" else {}
        event |= {"reason": EVIL, "weights": EVIL, "scores": {EVIL: 1.0}} if event["event"] == "Finished" else {}
    config = {EVIL: EVIL, "clearhead": EVIL, "languages": {"src": EVIL, "tgt": EVIL}, "data": {EVIL: [{EVIL: EVIL}]}}
    metric = {"name": EVIL, "value": 1.0, "mean": 1.0, "interval": 1.0, "signature": EVIL}
    labels = run.labels(labels=[EVIL, "a"])
    lost = {"lines": 2, "kept": 1, "dropped": {EVIL: 1}}
    text = report(
        EVIL, config, events, {EVIL: run.scores(bleu=metric, chrf=metric, ter=metric), EVIL * 2: labels}, lost
    )
    page = Page(text)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not any(tag == "img" for tag, _ in page.elements)
    plain = {name for _, attributes in Page(full(run)).elements for name in attributes}
    assert {name for _, attributes in page.elements for name in attributes} <= plain
    assert page.words().count(EVIL) >= 20


def test_tables_that_are_kept_are_text_too(run):
    way = {"accuracy": 0.61, "lowest": 0.59, "highest": 0.64, "interval": None, "macro_f1": 0.6}
    rows = [{"shots": shots, "draws": 3, "plain": way, "against_empty": way} for shots in (0, 4)]
    few_shot = {"test": EVIL, "template": EVIL, "words": {EVIL: EVIL, "1": "good"}, "texts": 99, "most_frequent": 0.503}
    row = {"value": 0.9, "step": 30, "over": 0.8, "over_step": 40, "gain": 0.1}
    scores = [{"score": "accuracy", **row, "reached": None}, {"score": EVIL, **row, "gain": -0.1, "reached": 20}]
    gain = {"run": EVIL, "over": EVIL, "init_from": [EVIL], "taken": 7, "same_vocabulary": False, "rows": scores}
    gain["curves"] = {"accuracy": [[[10, 0.7], [30, 0.9]], [[10, 0.6], [40, 0.8]]], EVIL: [[], []]}
    page = Page(full(run, kept=[("few-shot", {**few_shot, "rows": rows}), ("gain", gain), ("gain", gain)]))
    words = page.words()
    assert words.count(EVIL) >= 2 * (2 + 2) + 2 * 2 * 2
    assert {"script", "img"} & {tag for tag, _ in page.elements} == {"script"}
    for said in ("61.0%", "(59.0%–64.0%)", "50.3%", "+0.100", "−0.100", "never", "없음", "The vocabularies differ"):
        assert said in words
    series = [attributes["data-points"] for tag, attributes in page.elements if "data-points" in attributes]
    assert sum('"0.610"' in each and '"0.503"' in each for each in series) == 1
    assert sum('"0.900"' in each and '"0.800"' in each for each in series) == 2


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
@settings(max_examples=30, deadline=None)
def test_any_sentence_comes_back_as_it_went_in(sentence):
    """Also lone surrogates, controls and markup."""
    events = [{"event": "Validated", "step": 1, "scores": {}, "samples": [{"src": sentence, "ref": "r", "hyp": "h"}]}]
    text = report("t", {}, events)
    shown = re.findall(r'<dd dir="auto">(.*?)</dd>', text, flags=re.S)[0]
    assert "<" not in shown
    # html.parser changes \r and odd controls as browsers do; escape's inverse is exact.
    back = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&#x27;", "'")
    assert back.replace("&amp;", "&") == sentence


def test_what_a_finished_run_shows(run):
    words = Page(full(run)).words()
    for expected in (
        "41.02",
        "40.92\u00a0±\u00a01.25",
        "tok:13a|BLEU",
        "12.5%",
        "0.987",
        "1,234,567",
        "1 h 02 min",
        "1시간 02분",
    ):
        assert expected in words, expected
    for expected in (
        "Finished: all steps done",
        "완료: 정해진 스텝을 모두 마침",
        "best checkpoint, step 400",
        "nats per target token",
    ):
        assert expected in words, expected
    assert re.search(r"29,000\W+lines.*28,871\W+kept.*129\W+dropped.*too long.*104.*empty side.*25", words)
    for key, value in (("sources[1].tsv", '"b.tsv"'), ("betas", "[0.9, 0.98]"), ("valid", "[]"), ("format", "1")):
        assert re.search(rf"{re.escape(key)}\s+{re.escape(value)}", words), key


def test_the_config_is_whole(run):
    words = Page(full(run)).words()
    leaves = [value for table in run.config.values() if isinstance(table, dict) for value in table.values()]
    for leaf in leaves:
        for value in (
            [leaf]
            if not (isinstance(leaf, list) and leaf and isinstance(leaf[0], dict))
            else [each for row in leaf for each in row.values()]
        ):
            assert json.dumps(value) in words


@pytest.mark.parametrize("steps", [0, 10, 50, 250])
def test_a_run_that_goes_on(run, steps):
    text = report("r", run.config, run.events(steps=steps, finished=False), None, None)
    words = Page(text).words()
    assert "Running" in words and "Not scored yet" in words
    assert ("left" in words) == (steps > 0)
    assert text.count("<svg") == {0: 0, 10: 3, 50: 3, 250: 4}[steps]


def test_an_empty_log(run):
    words = Page(report("r", {}, [])).words()
    assert "No event yet" in words and "No values yet" in words


def test_a_run_without_text_scores_says_why(run):
    assert "Not measured" in Page(report("r", run.config, run.events(scored=False))).words()


def test_logged_nulls_are_gaps(run):
    events = run.events()
    for event in events:
        if event["event"] == "Progress":
            event |= {"nll": None, "tokens_per_s": None, "remaining_s": None}
        if event["event"] == "Validated":
            event["scores"] = {"loss": None, "perplexity": None}
    Page(report("r", run.config, events))
    Page(report("r", run.config, events[:-1]))


def test_a_resumed_run_is_running_again(run):
    events = run.events()
    assert History(events).finished and not History([*events, events[0]]).finished
    assert "Running" in Page(report("r", run.config, [*events, events[0]])).words()


def test_a_classifier_shows_accuracy_f1_and_the_confusion_matrix(run):
    page = Page(report("r", run.config, run.events(), {"first": run.labels(), "second": run.scores()}))
    words = page.words()
    for said in ("96.2%", "94.7%–97.4%", "92.9%", "90.0%–95.2%", "first", "second", "right label", "정답", "41.02"):
        assert said in words, said
    cells = " ".join(data for tag, _, data in page.texts if tag in ("td", "b", "th"))
    assert re.search(r"no\s+1,100\s+20\s+97\.9%\s+yes\s+30\s+200\s+88\.9%", cells)


def test_samples_are_newest_first_and_equal_ones_joined(run):
    (first, second) = History(run.events()).samples()
    assert (first.src, second.src) == ("나는 학생입니다", "나는 집에 갑니다")
    said = [(each.first_step, each.last_step, each.hyp) for each in first.sayings]
    assert said == [(300, 400, "I am a student"), (200, 200, "draft 1"), (100, 100, "draft 0")]
    words = Page(full(run)).words()
    assert words.index("300–400") < words.index("draft 1") < words.index("draft 0")
    assert words.count("✓") == 2  # one for each sentence


def test_the_note_on_the_headline_is_in_both_languages(run):
    words = Page(report("r", {}, [], {"t": run.scores(headline="chrf", notes=["no-ko-mecab"])})).words()
    assert "chrF leads" in words and "대표 점수로 씁니다" in words


def test_skipped_updates_are_told(run):
    events = [*run.events(), {"event": "Skipped", "time": 0.0, "step": 5, "reason": "x"}]
    assert "Skipped updates" in Page(report("r", run.config, events)).words()
    assert "Skipped updates" not in Page(full(run)).words()


def test_durations():
    assert [duration(seconds)["en"] for seconds in (0, 59.6, 61, 3725)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "1 h 02 min",
    ]
    assert "1분 01초" in both("remaining", time=duration(61))


def test_writing_replaces_the_old_report_whole(tmp_path, run, monkeypatch):
    path = tmp_path / "report.html"
    write_page(path, report("r", run.config, run.events(), {"test": run.scores()}, run.lost))
    first = path.read_text(encoding="utf-8")
    assert first == report("r", run.config, run.events(), {"test": run.scores()}, run.lost)

    def power_cut(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", power_cut)
    with pytest.raises(MachineError):
        write_page(path, report("another", run.config, run.events()))
    assert path.read_text(encoding="utf-8") == first
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(MachineError) as caught:
        write_page(tmp_path / "missing" / "report.html", report("r", {}, []))
    assert "report.html" in caught.value.message("en") and "\n" not in caught.value.message("ko")
