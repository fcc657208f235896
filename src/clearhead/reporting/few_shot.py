"""The report's part on prompts: accuracy against the number of examples."""

from __future__ import annotations

from html import escape
from typing import Any

from clearhead.reporting.chart import Series, line_chart
from clearhead.reporting.words import both

WAYS = (("plain", "as-it-is"), ("against_empty", "against-empty"))


def few_shot(table: dict[str, Any]) -> str:
    """Return chart and table of what ``clearhead few-shot`` keeps (docs/formats.md)."""
    rows = table["rows"]
    series = [Series(label, [(row["shots"], row[way]["accuracy"]) for row in rows], marks=True) for way, label in WAYS]
    series.append(Series("most-frequent", [(row["shots"], table["most_frequent"]) for row in rows]))
    chart = line_chart("accuracy", "share-unit", series, x_unit="examples")
    words = ", ".join(f"{escape(label)} = “{escape(said)}”" for label, said in table["words"].items())
    head = "".join(f"<th>{both(key)}</th>" for key in ("examples", "draws", "as-it-is", "against-empty"))
    body = "".join(
        f"<tr><td>{row['shots']}</td><td>{row['draws']}</td>{''.join(_cell(row[way]) for way, _ in WAYS)}</tr>"
        for row in rows
    )
    asked = both("few-shot-asked", texts=f"{table['texts']:,}", test=table["test"], template=table["template"])
    return (
        f'<div class="charts">{chart}<div class="card"><p>{asked} {words}.</p>'
        f"<table><thead><tr>{head}</tr></thead>{body}</table>"
        f'<p class="note">{both("most-frequent")}: {table["most_frequent"]:.1%}</p></div></div>'
    )


def _cell(scores: dict[str, Any]) -> str:
    low, high = scores["interval"] or (scores["lowest"], scores["highest"])
    return f"<td><b>{scores['accuracy']:.1%}</b> ({low:.1%}–{high:.1%})</td>"
