"""Figures: ticks and moving means by hand, and SVG that parses."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from mmreason.report.curves import interval_chart, line_chart, number, outcome_bar, smooth, ticks

# (low, high, ticks)
TICKS = [
    (0.0, 1.0, [0.0, 0.5, 1.0]),
    (0.0, 0.8, [0.0, 0.2, 0.4, 0.6, 0.8]),
    (3.0, 11.0, [4.0, 6.0, 8.0, 10.0]),
    (-0.03, 0.03, [-0.02, 0.0, 0.02]),
    (5.0, 5.0, [5.0]),
]


@pytest.mark.parametrize(("low", "high", "expected"), TICKS)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_moving_mean_starts_with_what_there_is() -> None:
    assert smooth([2.0, 4.0, 6.0, 8.0], 2) == [2.0, 3.0, 5.0, 7.0]


def test_numbers_are_short() -> None:
    assert [number(v) for v in (0.0, 0.123456, 12.345, 1234.5, 2e-6)] == ["0", "0.123", "12.3", "1234", "2.0e-06"]


@pytest.mark.parametrize("points", [[(1.0, 2.0)], [(1.0, 5.0), (2.0, 5.0)], [(float(i), i % 3) for i in range(40)]])
def test_line_charts_parse(points: list[tuple[float, float]]) -> None:
    svg = ET.fromstring(line_chart(points, "<loss> & more"))
    assert svg.get("aria-label") == "<loss> & more"
    lines = [node.get("class") for node in svg.iter("polyline")]
    assert lines == (["raw", "line"] if len(points) >= 20 else ["line"])


def test_interval_chart_places_the_mean_on_the_axis() -> None:
    svg = ET.fromstring(interval_chart([("base", 0.0, 0.0, 0.1), ("sft", 1.0, 0.9, 1.0)]))
    centres = [float(node.get("cx", "nan")) for node in svg.iter("circle")]
    ends = [float(node.get("x", "nan")) for node in svg.iter("text") if node.text in ("0", "100")]
    assert centres == ends


def test_outcome_bar_has_shares_of_the_answers() -> None:
    assert "width:50.00%" in outcome_bar(2, 1, 1) and "width:25.00%" in outcome_bar(2, 1, 1)
    assert "width:0.00%" in outcome_bar(0, 0, 0)
