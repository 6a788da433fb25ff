"""A bar for each suite with its interval and what no model would score, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, STEP, LEFT, RIGHT, FOOT = 760, 30, 190, 70, 24
BAR = 14


@dataclass(frozen=True, slots=True)
class Bar:
    """Shares in [0, 1]; `marks` are (name, share) of what is reached without a model."""

    label: str
    mean: float
    low: float
    high: float
    marks: tuple[tuple[str, float], ...] = ()


def _x(share: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(share, 0.0), 1.0)


def _axis(height: int) -> list[str]:
    lines = []
    for tick in (0, 25, 50, 75, 100):
        x = _x(tick / 100)
        lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - FOOT + 4}"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{tick}</text>')
    return lines


def _row(bar: Bar, top: float) -> list[str]:
    middle = top + STEP / 2
    label = escape(_short(bar.label))
    parts = [
        f'<text class="label" x="{LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{label}</text>',
        f'<rect class="share" x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{_x(bar.mean) - LEFT:.1f}" height="{BAR}"/>',
        f'<line class="whisker" x1="{_x(bar.low):.1f}" x2="{_x(bar.high):.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
    ]
    for name, share in bar.marks:
        x = _x(share)
        title = f"<title>{escape(name)}: {100 * share:.1f} %</title>"
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 4:.1f}" y2="{top + STEP - 4:.1f}">{title}</line>'
        )
    end = WIDTH - RIGHT + 12
    parts.append(f'<text class="last" x="{end}" y="{middle + 4:.1f}">{100 * bar.mean:.1f} %</text>')
    return parts


def _short(label: str) -> str:
    return label if len(label) <= 24 else f"{label[:23]}\u2026"


def suite_bars(bars: Sequence[Bar]) -> Markup:
    """One bar a suite on a common axis from 0 to 100 %; thin marks show chance and the best constant answer."""
    height = STEP * len(bars) + FOOT
    parts = _axis(height)
    for index, bar in enumerate(bars):
        parts += _row(bar, STEP * index)
    names = ", ".join(f"{bar.label} {100 * bar.mean:.1f} %" for bar in bars)
    head = f'<svg class="chart bars" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(names)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
