"""A chart draws what it is given: in place, in order, with round ticks around it."""

import json
import math
import re
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearhead.reporting.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    Series,
    line_chart,
    log_ticks,
    read_out,
    thin_out,
    tick_label,
    ticks,
)

values = st.floats(-1e9, 1e9).map(lambda value: round(value, 9))
positive = st.floats(1e-8, 1e8)


def chart(*series, **options):
    """The chart as an XML tree, once it has been read as XML: it is well formed."""
    return ElementTree.fromstring(line_chart("loss", "nats per tokens", series, **options))


def places(tree, number=0):
    """The points of a line as (x, y) in the picture."""
    points = tree.findall("svg/g/polyline")[number].get("points")
    return [tuple(map(float, point.split(","))) for point in points.split()]


def is_round(value):
    mantissa = value / 10 ** math.floor(math.log10(value))
    return any(math.isclose(mantissa, whole, rel_tol=1e-6) for whole in (1, 2, 5, 10))


@given(values, values)
def test_ticks_surround_the_values_and_are_round(first, second):
    low, high = sorted((first, second))
    found = ticks(low, high, 5)
    step = found[1] - found[0]
    assert found[0] <= low + 1e-6 * step and found[-1] >= high - 1e-6 * step
    assert 2 <= len(found) <= 9
    assert all(math.isclose(after - before, step, rel_tol=1e-3) for before, after in pairwise(found))
    if high - low > 1e-6 * max(abs(low), abs(high), 1e-6):
        assert is_round(step) or abs(low) / step > 1e5  # beyond that, the subtraction above is not exact
        assert found[0] > low - step and found[-1] < high + step


@given(positive, positive)
def test_log_ticks_surround_the_values(first, second):
    low, high = sorted((first, second))
    found = log_ticks(low, high)
    assert 0 < found[0] <= low * (1 + 1e-6) and found[-1] >= high * (1 - 1e-6)
    assert found == sorted(set(found)) and 2 <= len(found) <= 14


def test_ticks_by_hand():
    assert ticks(0, 20_000, 5) == [0, 5_000, 10_000, 15_000, 20_000]
    assert ticks(0, 41, 5) == [0, 10, 20, 30, 40, 50]
    assert log_ticks(1.1, 9.5) == [1, 2, 3, 5, 7, 10]
    assert log_ticks(0.02, 9) == pytest.approx([0.01, 0.1, 1, 10])
    assert [tick_label(value, 5_000) for value in (0, 5_000, 20_000)] == ["0", "5k", "20k"]
    assert [tick_label(value, 0.5) for value in (0, 0.5, -1)] == ["0.0", "0.5", "−1.0"]
    assert [tick_label(value, 100) for value in (900, 1_000, 1_100)] == ["900", "1k", "1.1k"]
    assert tick_label(2_500_000, 500_000) == "2.5M"


def test_read_out_by_hand():
    numbers = {0: "0.000", 1.23456: "1.235", 12.34: "12.34", 123.46: "123.5", 12345.6: "12,346", 4.42e-4: "4.42 × 10⁻⁴"}
    assert {value: read_out(value) for value in numbers} == numbers
    assert read_out(-0.00001) == "-1.00 × 10⁻⁵"


@given(st.lists(positive, min_size=2, max_size=30, unique=True), st.booleans())
def test_scale_keeps_the_order_and_reaches_both_ends(numbers, log):
    low, high = min(numbers), max(numbers)
    scale = Scale(low, high, 10, 110, log)
    mapped = [scale(value) for value in sorted(numbers)]
    assert mapped == sorted(mapped)
    assert (mapped[0], mapped[-1]) == (pytest.approx(10), pytest.approx(110))


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=40), st.booleans())
def test_points_lie_inside_and_in_order(ys, log):
    points = [(10 * number, y) for number, y in enumerate(ys, 1)]
    drawn = places(chart(Series("train", points), log=log))
    assert len(drawn) == len(points)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert drawn[-1][0] == WIDTH - RIGHT
    for x, y in drawn:
        assert LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM
    for (_, y1), (_, y2), first, second in zip(drawn, drawn[1:], ys, ys[1:]):
        assert (first <= second or y1 <= y2) and (first >= second or y1 >= y2)  # larger is higher up


def test_a_value_sits_between_its_ticks():
    tree = chart(Series("train", [(100, 0.0), (200, 25.0)]))
    ends = [text for text in tree.findall("svg/text") if text.get("text-anchor") == "end" and text.text]
    labels = {text.text: float(text.get("y")) for text in ends}
    assert [y for _, y in places(tree)] == [labels["0"], labels["25"]]
    assert labels["10"] == pytest.approx(labels["0"] + (labels["25"] - labels["0"]) * 10 / 25, abs=0.1)


def test_long_series_are_thinned_to_means():
    points = [(float(step), float(step % 7)) for step in range(1, 5001)]
    thin = thin_out(points)
    assert len(thin) <= MAX_POINTS and thin[-1][0] == 5000
    assert all(0 <= y <= 6 for _, y in thin)
    assert sum(y for _, y in thin) / len(thin) == pytest.approx(3, abs=0.05)
    assert thin_out(points[:MAX_POINTS]) == points[:MAX_POINTS]


def test_values_that_are_not_finite_are_left_out():
    tree = chart(Series("train", [(1, 2.0), (2, math.nan), (3, math.inf), (4, 3.0)]))
    assert len(places(tree)) == 2


def test_no_values_is_said():
    for series in ([], [Series("train", [])], [Series("train", [(1, math.nan)])]):
        tree = chart(*series, empty="no-text-scores")
        assert tree.find("svg") is None and "validate_metric" in "".join(tree.itertext())


def test_one_point_is_drawn():
    tree = chart(Series("valid", [(0, 5.0)]), log=True)
    assert places(tree) and tree.findall("svg/g/circle")


def test_marks_best_and_pointer_values():
    points = [(100, 3.0), (200, 2.0), (300, 2.5)]
    plain = chart(Series("train", points))
    marked = chart(Series("valid", points, marks=True, best=(200, 2.0)))
    assert not plain.findall("svg/g/circle")
    circles = marked.findall("svg/g/circle")
    assert len(circles) == 4
    ring = next(circle for circle in circles if circle.get("class") == "ring")
    assert (float(ring.get("cx")), float(ring.get("cy"))) == places(marked)[1]
    data = json.loads(marked.find("svg").get("data-points"))
    assert [(step, value) for _, _, step, value in data[0]] == [("100", "3.000"), ("200", "2.000"), ("300", "2.500")]
    assert [tuple(point[:2]) for point in data[0]] == places(marked)


def test_tiny_values_share_a_power_of_ten():
    markup = line_chart("learning-rate", "rate-unit", [Series("learning-rate", [(0, 0.0), (100, 7e-4)])])
    assert "10⁻⁴" in unescape(markup)
    labels = re.findall(r'text-anchor="end">([^<]*)</text>', markup)
    assert labels == ["0", "2", "4", "6", "8"]
