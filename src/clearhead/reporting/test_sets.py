"""The report's part on test sets: scores of translations; scores of labels, with who was taken for whom."""

from __future__ import annotations

from html import escape
from typing import Any

from clearhead import errors
from clearhead.reporting.parts import fact_list, spans, table, tile
from clearhead.reporting.words import WORDS, both


def score_tile(name: str, scores: dict[str, Any]) -> str:
    """Return the leading score on the test set ``name``; see ``test_set_scores``."""
    test = f" <code>{escape(name)}</code>"
    if "confusion" in scores:
        under = f"{both('interval')} {_between(scores['interval'])}"
        return tile(both("accuracy") + test, f"{scores['accuracy']:.1%}", under)
    lead = scores[scores["headline"]]
    under = f"{both('interval')} {lead['mean']:.1f}\u00a0±\u00a0{lead['interval']:.1f}"
    return tile(escape(lead["name"]) + test, f"{lead['value']:.1f}", under)


def test_set_scores(name: str, scores: dict[str, Any]) -> str:
    """Return what a run has on the test set ``name``.

    scores: ``Scores.to_dict()`` of a translator, ``ClassificationScores.to_dict()`` of a classifier.
    """
    head = f"<h3>{both('on-test')} <code>{escape(name)}</code></h3>"
    return head + (_of_labels(scores) if "confusion" in scores else _of_translations(scores))


def _of_translations(scores: dict[str, Any]) -> str:
    rows = []
    for key in ("bleu", "chrf", "ter"):
        each = scores[key]
        remark = "headline" if key == scores["headline"] else "lower-better" if key == "ter" else ""
        said = f' <span class="small">{both(remark)}</span>' if remark else ""
        interval = f"{each['mean']:.2f}\u00a0±\u00a0{each['interval']:.2f}"
        rows.append(
            f"<tr><td><b>{escape(each['name'])}</b>{said}</td><td><b>{each['value']:.2f}</b></td>"
            f"<td>{interval}</td><td><code>{escape(each['signature'])}</code></td></tr>"
        )
    head = "".join(f"<th>{both(key)}</th>" for key in ("metric", "score", "interval", "signature"))
    pairs = [
        (both("exact-match"), f"{scores['exact_match']:.1%}"),
        (both("sentences"), f"{scores['sentences']:,}"),
        (both("length-ratio"), f"{scores['length_ratio']:.3f}"),
        (both("brevity"), f"{scores['brevity_penalty']:.3f}"),
    ]
    notes = [{language: errors.text(code, language) for language in WORDS} for code in scores["notes"]]
    said = "".join(f'<p class="note">{spans(note)}</p>' for note in notes)
    return f'<table class="scores"><thead><tr>{head}</tr></thead>{"".join(rows)}</table>{fact_list(pairs)}{said}'


def _of_labels(scores: dict[str, Any]) -> str:
    names = [escape(label) for label in scores["labels"]]
    rows = [
        [name, *(f"<b>{count:,}</b>" if i == j else f"{count:,}" for j, count in enumerate(row)), f"{f1:.1%}"]
        for i, (name, row, f1) in enumerate(zip(names, scores["confusion"], scores["f1"]))
    ]
    macro_f1 = f"{scores['macro_f1']:.1%}"
    if "macro_f1_interval" in scores:  # not in evaluations of older versions
        macro_f1 += f" ({_between(scores['macro_f1_interval'])})"
    pairs = [
        (both("accuracy"), f"{scores['accuracy']:.1%} ({_between(scores['interval'])})"),
        (both("f1"), macro_f1),
        (both("texts"), f"{sum(map(sum, scores['confusion'])):,}"),
    ]
    confusion = table([both("right-by-said"), *names, "F1"], rows, "figures confusion")
    return f'{fact_list(pairs)}{confusion}<p class="hint">{both("confusion-hint")}</p>'


def _between(interval: list[float]) -> str:
    low, high = interval
    return f"{low:.1%}–{high:.1%}"
