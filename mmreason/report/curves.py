"""Small inline SVG figures, written by hand: no script, no network, readable at phone width."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 46, 46, 8, 20
_LETTER = 6.5
"""Width of a letter of a label, about."""
_SMOOTH_FROM = 20
"""Curves with at least so many points get a moving mean over their raw line."""


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round values within [low, high]; steps are 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Short decimal form for labels."""
    if value == 0 or 0.001 <= abs(value) < 10000:
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{value:.1e}"


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Trailing mean over `window` values (fewer at the start)."""
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    return [(sums[i + 1] - sums[max(0, i + 1 - window)]) / min(i + 1, window) for i in range(len(values))]


def _scale(low: float, high: float, start: float, end: float, value: float) -> float:
    return start + (end - start) * (0.5 if high == low else (value - low) / (high - low))


def _path(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def line_chart(points: Sequence[Point], title: str) -> Markup:
    """One curve over steps, with the last value at its end; over 20 points the raw line pales behind a moving mean."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low, high = min(ys), max(ys)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> Point:
        return (
            _scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT, x),
            _scale(low, high, HEIGHT - BOTTOM, TOP, y),
        )

    grid = []
    for tick in ticks(low, high):
        _, y = place(xs[0], tick)
        grid.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        grid.append(f'<text class="tick" x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{number(tick)}</text>')
    means = smooth(ys, max(2, len(ys) // 10)) if len(ys) >= _SMOOTH_FROM else ys
    lines = [f'<polyline class="raw" points="{_path([place(x, y) for x, y in points])}"/>'] if means is not ys else []
    drawn = [place(x, y) for x, y in zip(xs, means, strict=True)]
    lines.append(f'<polyline class="line" points="{_path(drawn)}"/>')
    end_x, end_y = drawn[-1]
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(grid)}"
        f'<text class="tick" x="{LEFT}" y="{HEIGHT - 5}">{number(xs[0])}</text>'
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">step {number(xs[-1])}</text>'
        f"{''.join(lines)}"
        f'<circle class="end" cx="{end_x:.1f}" cy="{end_y:.1f}" r="2.5"/>'
        f'<text class="last" x="{end_x + 5:.1f}" y="{end_y + 3.5:.1f}">{number(means[-1])}</text></svg>'
    )


def interval_chart(rows: Sequence[tuple[str, float, float, float]]) -> Markup:
    """One line a row (stage, mean, low, high), shares in 0..1 on a common axis from 0 to 100 %."""
    step, right = 22, WIDTH - 12
    left = max([46, *(12 + _LETTER * len(label) for label, *_ in rows)])
    height = step * len(rows) + 22
    parts = []
    for tick in (0, 25, 50, 75, 100):
        x = _scale(0, 100, left, right, tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 18}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="middle">{tick}</text>')
    for index, (label, mean, low, high) in enumerate(rows):
        y = 4 + step * index + step / 2
        x0, x, x1 = (_scale(0, 1, left, right, value) for value in (low, mean, high))
        parts.append(f'<text class="label" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line class="whisker" x1="{x0:.1f}" x2="{x1:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<circle class="mean" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="accuracy with intervals">'
        f"{''.join(parts)}</svg>"
    )


def outcome_bar(right: int, wrong: int, unread: int) -> Markup:
    """A stacked bar of the three outcomes; widths are shares, counts stand beside it in the page."""
    total = max(right + wrong + unread, 1)
    parts = (("right", right), ("wrong", wrong), ("unread", unread))
    spans = "".join(
        f'<span class="{name}" style="width:{100 * count / total:.2f}%" title="{name} {count}"></span>'
        for name, count in parts
    )
    return Markup(
        f'<div class="bar" role="img" aria-label="right {right}, wrong {wrong}, unread {unread}">{spans}</div>'
    )
