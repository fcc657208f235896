"""Scores with their intervals, one below the other, as an SVG string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from clearhead.reporting.chart import Scale, tick_label, ticks
from clearhead.reporting.words import both

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 480, 142, 40, 8, 22, 26


@dataclass(frozen=True)
class Interval:
    """One row: a name, a value, its 95 % interval, and whether it is what the others are compared with."""

    name: str
    value: float
    low: float
    high: float
    base: bool = False


def interval_chart(title: str, rows: Sequence[Interval]) -> str:
    """Return a figure: each row's value with its interval, and a line down from the base's.

    title: a key of ``WORDS``.
    """
    head = f"<figcaption><h3>{both(title)}</h3></figcaption>"
    if not rows:
        return f'<figure class="chart">{head}<p class="none">{both("no-values")}</p></figure>'
    at = ticks(0.0, max(row.high for row in rows), 5)
    scale = Scale(at[0], at[-1], LEFT, WIDTH - RIGHT)
    bottom = TOP + ROW * len(rows)
    drawn = []
    for value in at:
        x = round(scale(value), 1)
        drawn.append(f'<path class="grid" d="M{x} {TOP}V{bottom}"/>')
        label = tick_label(value, at[1] - at[0])
        drawn.append(f'<text class="tick" x="{x}" y="{bottom + 16}" text-anchor="middle">{label}</text>')
    for row in rows:
        if row.base:
            x = round(scale(row.value), 1)
            drawn.append(f'<path class="cross" d="M{x} {TOP}V{bottom}"/>')
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW / 2
        low, value, high = (round(scale(each), 1) for each in (row.low, row.value, row.high))
        drawn.append(
            f'<text x="{LEFT - 9}" y="{y}" dy=".35em" text-anchor="end">{escape(row.name)}</text>'
            f'<g class="s{0 if row.base else 1}"><path class="whisker" d="M{low} {y}H{high}"/>'
            f'<circle cx="{value}" cy="{y}" r="3.6"/></g>'
            f'<text class="value" x="{WIDTH}" y="{y}" dy=".35em" text-anchor="end">{row.value:.1f}</text>'
        )
    return f'<figure class="chart">{head}<svg viewBox="0 0 {WIDTH} {bottom + BOTTOM}">{"".join(drawn)}</svg></figure>'
