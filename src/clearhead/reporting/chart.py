"""A line chart as an SVG string, from plain numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from clearhead.reporting.words import both

Point = tuple[float, float]

# In the SVG's own units; the style scales the picture to its column and keeps the text readable.
WIDTH, HEIGHT = 480, 256
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 42
MAX_POINTS = 400  # more cannot be told apart at this width
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    label: what the legend says, a key of ``WORDS``, or a name where it is ``named``.
    points: (x, value), x rising; a value that is not finite is left out.
    marks: draw each point, as for the few values of validations.
    best: the point to ring, if any.
    """

    label: str
    points: Sequence[Point]
    marks: bool = False
    best: Point | None = None
    named: bool = False

    @property
    def said(self) -> str:
        """The label as markup."""
        return escape(self.label) if self.named else both(self.label)


@dataclass(frozen=True)
class Scale:
    """A map from ``low .. high`` to ``start .. end`` in the SVG's units, straight or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def line_chart(
    title: str,
    unit: str,
    series: Sequence[Series],
    log: bool = False,
    empty: str = "no-values",
    x_unit: str = "step",
) -> str:
    """Return a figure: title, legend with the values (the last ones, or those under the pointer) and the chart.

    Args:
        title, unit: keys of ``WORDS``; the chart's name and what its y axis counts.
        series: the lines.
        log: a logarithmic y axis (where all values are above 0), which shows a loss's late, small gains;
            the straight one begins at 0.
        empty: key of what to say where there is no point to draw.
        x_unit: key of what the x axis counts.
    """
    shown = [replace(each, points=thin_out(each.points)) for each in series]
    shown = [each for each in shown if each.points]
    head = f"<h3>{both(title)}</h3>"
    if not shown:
        return f'<figure class="chart"><figcaption>{head}</figcaption><p class="none">{both(empty)}</p></figure>'
    last_step = max(each.points[-1][0] for each in shown)
    values = [y for each in shown for _, y in (*each.points, *([each.best] if each.best else []))]
    log = log and min(values) > 0
    y_ticks = log_ticks(min(values), max(values)) if log else ticks(min(0.0, *values), max(values), 5)
    x_scale = Scale(0, last_step or 1, LEFT, WIDTH - RIGHT)
    y_scale = Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, log)
    power = 0 if log else _power(y_ticks)
    remark = (
        f" × 10{str(power).translate(SUPERSCRIPTS)}" if power else f" · {both('log-scale', 'tspan')}" if log else ""
    )
    drawn = [
        _y_axis(y_scale, y_ticks, 10.0**power),
        _x_axis(x_scale),
        f'<text class="unit" x="0" y="16">{both(unit, "tspan")}{remark}</text>',
        f'<text class="unit" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{both(x_unit, "tspan")}</text>',
        *(_line(number, each, x_scale, y_scale) for number, each in enumerate(shown)),
    ]
    points = [[(*_place(x_scale(x), y_scale(y)), _whole(x), read_out(y)) for x, y in each.points] for each in shown]
    data = escape(json.dumps(points, separators=(",", ":"), ensure_ascii=False))
    return (
        f'<figure class="chart"><figcaption>{head}{_legend(shown, last_step, x_unit)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" data-points="{data}">{"".join(drawn)}</svg></figure>'
    )


def thin_out(points: Sequence[Point]) -> list[Point]:
    """Return at most ``MAX_POINTS`` finite points: neighbours are replaced by their mean."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    size = math.ceil(len(finite) / MAX_POINTS)
    if size <= 1:
        return finite
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    # The group's last x, so that the line still ends where the training stands.
    return [(group[-1][0], math.fsum(y for _, y in group) / len(group)) for group in groups]


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) from at or below ``low`` to at or above ``high``."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, but for rounding
        middle, room = low, abs(low) * 0.1 or 1.0
        low, high = middle - room, middle + room
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at or below ``low`` to at or above ``high``, about evenly apart on a logarithmic axis.

    Both above 0. Over many powers of ten only these are named; over less than one third of one, evenly spaced numbers.
    """
    decades = math.log10(high / low)
    straight = ticks(low, high, 5)
    if decades < 0.4 and straight[0] > 0:
        return straight
    mantissas = (1, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 2.2 else (1,)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    every = max(1, math.ceil((last - first) / 7))
    found = [mantissa * 10.0**power for power in range(first, last + every, every) for mantissa in mantissas]
    above = next(place for place, value in enumerate(found) if value >= high * (1 - 1e-9))
    below = max(place for place, value in enumerate(found) if value <= low * (1 + 1e-9))
    return found[below : above + 1]


def tick_label(value: float, step: float) -> str:
    """Return a tick's number with as many decimals as its neighbours ``step`` away need; thousands as k, M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size and step >= size / 100:
            return f"{value / size:.3g}{letter}".replace("-", "−")
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value + 0.0:.{decimals}f}".replace("-", "−")


def read_out(value: float) -> str:
    """Return a value for the reader in about four digits; a power of ten only where it is tiny."""
    if value != 0 and abs(value) < 0.001:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits} × 10{str(int(power)).translate(SUPERSCRIPTS)}"
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:,.{decimals}f}"


def _power(y_ticks: Sequence[float]) -> int:
    """The power of ten to take out of an axis whose numbers are all tiny."""
    largest = max(abs(y_ticks[0]), abs(y_ticks[-1]))
    return math.floor(math.log10(largest)) if 0 < largest < 0.01 else 0


def _y_axis(scale: Scale, at: Sequence[float], unit: float) -> str:
    parts = []
    for value in at:
        y = round(scale(value), 1)
        label = f"{value:g}" if scale.log else tick_label(value / unit, (at[1] - at[0]) / unit)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y}" dy=".35em" text-anchor="end">{label}</text>')
    return "".join(parts)


def _x_axis(scale: Scale) -> str:
    bottom = HEIGHT - BOTTOM
    at = [value for value in ticks(scale.low, scale.high, 5) if value <= scale.high]
    parts = [f'<path class="axis" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>']
    for value in at:
        x, label = round(scale(value), 1), tick_label(value, at[1] - at[0])
        parts.append(f'<path class="axis" d="M{x} {bottom}v4"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return "".join(parts)


def _line(number: int, series: Series, x_scale: Scale, y_scale: Scale) -> str:
    places = [_place(x_scale(x), y_scale(y)) for x, y in series.points]
    parts = [f'<polyline points="{" ".join(f"{x},{y}" for x, y in places)}"/>']
    if series.marks or len(places) == 1:
        parts += [f'<circle cx="{x}" cy="{y}" r="2.6"/>' for x, y in places]
    if series.best is not None:
        x, y = _place(x_scale(series.best[0]), y_scale(series.best[1]))
        parts.append(f'<circle class="ring" cx="{x}" cy="{y}" r="6"/>')
    return f'<g class="s{number}">{"".join(parts)}</g>'


def _legend(series: Sequence[Series], last: float, x_unit: str) -> str:
    """The legend with each line's last value; the page's script puts those under the pointer in their place."""
    items = "".join(
        f'<li class="s{number}"><i></i>{each.said} <b>{read_out(each.points[-1][1])}</b></li>'
        for number, each in enumerate(series)
    )
    items += "".join(
        f'<li class="s{number}"><i class="ring"></i>{both("best")}</li>'
        for number, each in enumerate(series)
        if each.best is not None
    )
    return f'<ul class="legend">{items}<li class="at">{both(x_unit)} <b>{_whole(last)}</b></li></ul>'


def _whole(x: float) -> str:
    """A place on the x axis: in whole numbers, but where they are few."""
    return f"{x:,.0f}" if x == round(x) or x >= 100 else read_out(x)


def _place(x: float, y: float) -> tuple[float, float]:
    return round(x, 1), round(y, 1)
