"""The page and the Markdown of a comparison: everything said, in both languages, nothing let through as markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from clearhead.reporting.chart import Series, line_chart
from clearhead.reporting.comparison import comparison_page
from clearhead.reporting.comparison_text import comparison_markdown
from clearhead.reporting.intervals import Interval, interval_chart
from clearhead.reporting.words import WORDS

from .comparisons import ABLATIONS, LADDER, made

CASES = {
    "ladder": made(LADDER), "ablations": made(ABLATIONS), "unfinished": made(LADDER, ended=2), "begun": made(LADDER, 0),
    "seeds": made(("transformer-post", "lstm"), seeds=(1, 2)), "alone": made(("full",)),
}  # fmt: skip


class Balance(HTMLParser):
    """Whether every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_whole_and_asks_nothing_of_a_network(case):
    text = comparison_page(CASES[case], "ko")
    page = Balance()
    page.feed(text)
    assert page.open == [] and '<html lang="ko">' in text
    assert not re.search(r"""(src|href|action)\s*=\s*["']|url\(|@import""", text)
    assert " style=" not in text and "<script>alert" not in text and "nan" not in "".join(page.text).split()
    for run in CASES[case]["runs"]:
        assert text.count(run["name"]) >= 3


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_figure_is_on_the_page_and_in_the_markdown(language):
    comparison = made(LADDER)
    page, markdown = comparison_page(comparison, language), comparison_markdown(comparison, language)
    for run in comparison["runs"]:
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {run['name']} |"))
        bleu, chrf = run["scores"]["bleu"], run["scores"]["chrf"]
        wanted = [
            f"{run['parameters']:,}",
            f"{bleu['value']:.1f} ± 1.4",
            f"{chrf['value']:.1f} ± 1.4",
            f"{run['steps']:,}",
        ]
        wanted += [f"{run['tokens_per_s']:,.0f}", f"{run['valid']['loss']:.3f}"]
        wanted += [f"{p:.3f}{'*' if p < 0.05 else ''}" for p in list(run["p_values"].values())[:2]]
        assert all(cell in row.split(" | ") or f"| {cell} |" in row for cell in wanted), row
        assert f"<b>{bleu['value']:.1f}</b>\u00a0±\u00a01.4" in page
    assert "&lt;b&gt;sagt&lt;/b&gt; &amp;" in page and "<b>sagt" not in page
    tables = [line.count(" | ") for line in markdown.splitlines() if line.startswith("| rnn |")]
    assert tables == [10, 3, 5, 1, 1, 1, 1, 1]


def test_a_cheat_and_a_failure_are_said():
    comparison = made(ABLATIONS)
    comparison["runs"][6] |= {"state": "failed", "problem": "step 40: <not> finite"}
    del comparison["runs"][6]["scores"]
    for said in (comparison_page(comparison, "en"), comparison_markdown(comparison, "en")):
        assert WORDS["en"]["cheats"] in said
        assert "step 40: &lt;not&gt; finite" in said or "step 40: <not> finite" in said
        assert WORDS["en"]["failed"] in said


def test_a_chart_names_its_lines_and_its_x_axis():
    chart = line_chart("loss", "score-unit", [Series("a <b>", [(0.5, 1.0), (1.25, 2.0)], named=True)], x_unit="minute")
    assert "a &lt;b&gt; <b>2.000</b>" in chart and "minutes of training" in chart and "<b>1.250</b>" in chart
    assert "minutes" not in line_chart("loss", "score-unit", [Series("train", [(1, 1.0), (2, 2.0)])])


def test_intervals_lie_where_they_belong():
    chart = interval_chart("bleu-intervals", [Interval("a&b", 10.0, 5.0, 15.0, True), Interval("c", 20.0, 18.0, 20.0)])
    whiskers = [tuple(map(float, pair)) for pair in re.findall(r'class="whisker" d="M([\d.]+) [\d.]+H([\d.]+)"', chart)]
    centres = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', chart)]
    assert centres[0] == pytest.approx(sum(whiskers[0]) / 2, abs=0.1) and centres[1] == whiskers[1][1]
    assert (centres[1] - whiskers[1][0]) / (whiskers[0][1] - whiskers[0][0]) == pytest.approx(0.2, abs=0.01)
    assert "a&amp;b" in chart and chart.count('class="cross"') == 1
    assert "none" in interval_chart("bleu-intervals", [])
