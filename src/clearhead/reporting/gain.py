"""The report's part on transfer: a run that took weights over against one from scratch."""

from __future__ import annotations

from html import escape
from typing import Any

from clearhead.reporting.chart import Series, line_chart, read_out
from clearhead.reporting.words import WORDS, both

HEAD = ("score", "from-scratch", "steps-column", "with-transfer", "steps-column", "gain", "as-good")
DRAWN = ("loss", "accuracy", "f1", "bleu", "chrf", "bits_per_byte")
"""Scores whose curves are shown; perplexity says nothing that the loss does not."""


def gain(table: dict[str, Any]) -> str:
    """Return table and learning curves of what ``clearhead gain`` keeps (docs/formats.md)."""
    said = {"run": table["run"], "over": table["over"], "taken": table["taken"]}
    asked = both("gain-asked", givers=", ".join(table["init_from"]), **said)
    head = "".join(f"<th>{both(key)}</th>" for key in HEAD)
    rows = "".join(_row(row) for row in table["rows"])
    note = "" if table["same_vocabulary"] else f'<p class="note">{both("other-vocabulary")}</p>'
    charts = [
        line_chart(name, "value", [
            Series("with-transfer", first, marks=True), Series("from-scratch", second, marks=True),
        ], log=name == "loss")
        for name, (first, second) in table["curves"].items()
        if name in DRAWN
    ]  # fmt: skip
    return (
        f'<div class="card"><p>{asked}</p><table><thead><tr>{head}</tr></thead>{rows}</table>{note}</div>'
        f'<div class="charts">{"".join(charts)}</div>'
    )


def _row(row: dict[str, Any]) -> str:
    name = both(row["score"]) if row["score"] in WORDS["en"] else escape(str(row["score"]))
    reached = both("never") if row["reached"] is None else f"{row['reached']:,}"
    cells = [name, read_out(row["over"]), f"{row['over_step']:,}", f"<b>{read_out(row['value'])}</b>"]
    cells += [f"{row['step']:,}", f"{'+' if row['gain'] >= 0 else '−'}{read_out(abs(row['gain']))}", reached]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
