"""``clearhead inspect``: in the terminal, as a page, served; bad input is one line."""

import json
import re
import socket
from importlib import resources
from pathlib import Path

import pytest

from clearhead.cli import run
from clearhead.inspection import serve
from clearhead.pipelines import pipeline

GOLDEN = str(Path(__file__).parents[1] / "golden/format-1")
TEXT = "나는 학생입니다"


@pytest.fixture
def inspected(capfd):
    def inspect(*arguments):
        code = run(["inspect", *arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return inspect


@pytest.mark.parametrize(("language", "title"), [("en", "Where each token looks"), ("ko", "각 토큰이 보는 곳")])
def test_the_terminal_shows_where_it_looks_how_sure_it_is_and_what_else_it_might_say(
    inspected, monkeypatch, language, title
):
    monkeypatch.setenv("CLEARHEAD_LANG", language)
    code, out, err = inspected(GOLDEN, TEXT)
    assert (code, err) == (0, "") and title in out
    lines = out.splitlines()
    assert lines[0] == f"{TEXT} → I am a student"
    rows = [line.split() for line in lines if line.strip().startswith("<eos>")]
    assert len(rows) == 2  # of the alignment and of the steps
    alignment, step = rows
    assert 98 <= sum(0 if cell == "·" else int(cell) for cell in alignment[1:]) <= 102
    assert float(step[1]) > 90


def test_a_prefix_and_a_search_are_those_of_translate(inspected):
    code, out, _ = inspected(GOLDEN, TEXT, "--prefix", "You", "--beam-size", "1")
    assert code == 0 and out.splitlines()[0].startswith(f"{TEXT} → You")


def test_a_page_is_written_whole(inspected, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = inspected(GOLDEN, TEXT, "--beam-size", "2", "--html", str(page), "--compare", GOLDEN)
    assert (code, out, err) == (0, f"{page}\n", "")
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!doctype html>") and TEXT in content and '"ablations": [{' in content
    assert '"compare": [{"format": 1' in content


def test_another_text_stands_beside_the_first(inspected, tmp_path):
    page = tmp_path / "page.html"
    second = "나는 선생님입니다"
    code, out, err = inspected(GOLDEN, TEXT, "--beam-size", "1", "--html", str(page), "--other", second)
    assert (code, out, err) == (0, f"{page}\n", "")
    found = re.search(r'<script type="application/json" id="document">(.*?)</script>', page.read_text(encoding="utf-8"))
    document = json.loads(found[1])["document"]
    assert (document["src"]["text"], document["compare"][0]["src"]["text"]) == (TEXT, second)
    assert document["compare"][0]["tgt"]["text"] == "I am a teacher"


COMMITTEE = str(resources.files("clearhead") / "shipped" / "sentiment-analysis")


def test_a_committee_is_looked_at_member_by_member(inspected, tmp_path):
    text = "정말 재미있다"
    code, out, err = inspected(COMMITTEE, text)
    assert (code, err) == (0, "") and out.splitlines()[0] == f"{text} → POSITIVE"
    expected = pipeline("sentiment-analysis", COMMITTEE)(text)[0]["score"]
    shown = next(line.split() for line in out.splitlines() if line.strip().startswith("POSITIVE"))
    assert len(shown) == 4 and abs(float(shown[1]) / 100 - expected) < 6e-4
    for member in ("ngrams", "gru"):
        assert f"clearhead inspect {COMMITTEE}/{member}" in out
    page = tmp_path / "page.html"
    assert inspected(COMMITTEE, text, "--html", str(page))[0] == 0
    found = re.search(r'<script type="application/json" id="document">(.*?)</script>', page.read_text(encoding="utf-8"))
    document = json.loads(found[1])["document"]
    committee = document["committee"]
    assert [each["name"] for each in committee["members"]] == ["ngrams", "gru"] and len(document["compare"]) == 1
    assert [each["prob"] for each in committee["labels"] if each["label"] == "POSITIVE"] == [pytest.approx(expected)]
    assert document["compare"][0]["labels"] == committee["members"][1]["labels"] and document["left_out"] == []
    assert inspected(COMMITTEE, text, "--html", str(page), "--other", "정말 지루하다")[0] == 0
    found = re.search(r'<script type="application/json" id="document">(.*?)</script>', page.read_text(encoding="utf-8"))
    beside = json.loads(found[1])["document"]["compare"]
    assert [(each["run"]["name"], each["src"]["text"]) for each in beside] == [
        ("gru", text),
        ("ngrams", "정말 지루하다"),
        ("gru", "정말 지루하다"),
    ]


def test_a_committees_members_must_agree_on_the_labels(inspected, tmp_path):
    (tmp_path / "committee.toml").write_text(f'format = 1\nruns = ["{COMMITTEE}/gru", "{GOLDEN}"]\n')
    code, out, err = inspected(str(tmp_path), "좋다")
    assert (code, out) == (2, "") and "'classification'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([GOLDEN], 2, "no text to look at"),
        ([GOLDEN, " "], 2, "no text to look at"),
        ([GOLDEN, TEXT, "--compare", GOLDEN], 2, "add --html FILE"),
        ([GOLDEN, TEXT, "--other", TEXT], 2, "add --html FILE"),
        ([GOLDEN, "--serve", TEXT], 2, "--serve takes neither"),
        ([GOLDEN, TEXT, "--prefix", "a " * 300], 2, "prefix"),
        ([GOLDEN, "학 " * 2000], 3, "2,001 tokens"),
        ([GOLDEN, "\ud800"], 2, "U+D800"),
        (["./nowhere", TEXT], 4, "nowhere"),
        (["nowhere", TEXT], 5, "nowhere: not in the Hub's cache"),
        ([GOLDEN, TEXT, "--html", "/nowhere/page.html"], 5, "/nowhere"),
    ],
)
def test_bad_input_is_one_line(inspected, arguments, code, said):
    answer = inspected(*arguments)
    assert answer[:2] == (code, "") and said in answer[2] and answer[2].count("\n") == 1


def test_it_is_served_at_the_address_that_is_printed(inspected, monkeypatch):
    served = []
    monkeypatch.setattr(serve, "serve", lambda server: (served.append(server.address), server.server_close()))
    code, out, err = inspected(GOLDEN, "--serve", "--port", "0")
    assert (code, out, err) == (0, f"{served[0]}\n", "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = inspected(GOLDEN, "--serve", "--port", str(port))
    assert (code, out) == (5, "") and f"--port {port}" in err and err.count("\n") == 1
