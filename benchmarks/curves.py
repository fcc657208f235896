"""Several curves over the step as one SVG picture that stands alone; scales and ticks are the report's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from clearhead.reporting.chart import Scale, thin_out, tick_label, ticks

Curve = Sequence[tuple[float, float]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 60, 20, 40, 40
COLOURS = ("#2459c9", "#c2570c", "#1b7f4b", "#8a2d8f", "#b01030", "#5b616b")


def draw(title: str, curves: Mapping[str, Curve]) -> str:
    """Return the picture of ``curves``, by what the legend calls them; a curve without points is only named.

    Each is thinner than those beneath it, so that one that coincides with another still shows.
    """
    shown = {name: thin_out(curve) for name, curve in curves.items()}
    points = [point for curve in shown.values() for point in curve] or [(0.0, 0.0)]
    y_at = ticks(min(y for _, y in points), max(y for _, y in points), 6)
    x_at = ticks(0.0, max(x for x, _ in points) or 1.0, 6)
    x_scale = Scale(x_at[0], x_at[-1], LEFT, WIDTH - RIGHT)
    y_scale = Scale(y_at[0], y_at[-1], HEIGHT - BOTTOM, TOP)
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(LEFT, 18, escape(title), "start")]
    for y in y_at:
        at = round(y_scale(y), 1)
        parts.append(f'<path d="M{LEFT} {at}H{WIDTH - RIGHT}" stroke="#ecedea"/>')
        parts.append(_text(LEFT - 8, at + 4, tick_label(y, y_at[1] - y_at[0]), "end"))
    for x in x_at:
        parts.append(_text(round(x_scale(x), 1), HEIGHT - 18, tick_label(x, x_at[1] - x_at[0]), "middle"))
    for number, (name, curve) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x_scale(x):.1f},{y_scale(y):.1f}" for x, y in curve)
        width = 1.3 + 1.2 * (len(shown) - 1 - number)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width:.1f}"/>')
        parts.append(_text(WIDTH - RIGHT, TOP + 16 * (number + 1), escape(name), "end", colour))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'{head} font-family="sans-serif" font-size="12">{"".join(parts)}</svg>\n'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#1d2025") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
