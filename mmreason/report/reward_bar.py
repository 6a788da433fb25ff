"""The parts of one reward as a bar: what adds to the right of zero, what takes away to the left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

Row = dict[str, Any]
Parts = list[tuple[str, float]]


def parts_of(run: Mapping[str, Any]) -> Parts:
    """Named parts of a rollout row's or an evaluated run's reward, in the order in which the terms gave them."""
    found = run.get("parts") or {}
    return list((json.loads(found) if isinstance(found, str) else found).items())


def addends(parts: Parts, reward: float) -> Parts:
    """The first parts that add up to the reward; all of it as one where none do (products, weights).

    Terms list what they add before what they merely report (an IoU, a count).
    """
    sums = accumulate(value for _, value in parts)
    ends = [place for place, total in enumerate(sums, 1) if abs(total - reward) < 1e-6]
    return parts[: ends[0]] if ends else [("reward", reward)]


def span(runs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Least and most that bars of these answers reach, so that they can be compared by eye."""
    stacks = [[value for _, value in addends(parts_of(run), run["reward"])] for run in runs]
    low = min((sum(value for value in stack if value < 0) for stack in stacks), default=0.0)
    high = max((sum(value for value in stack if value > 0) for stack in stacks), default=0.0)
    return min(low, 0.0), max(high, 0.0, low + 1.0)


def reward_bar(run: Mapping[str, Any], low: float, high: float) -> Row | None:
    """{zero, bars: [{name, value, x, width, tone}], others: [(name, value)]}; x and width in percent of the bar.

    None for a reward of which no parts are known.
    """
    parts = parts_of(run)
    if not parts:
        return None
    added = addends(parts, run["reward"])
    scale = 100 / (high - low)
    right = left = -low * scale
    bars = []
    for tone, (name, value) in enumerate(added):
        width = abs(value) * scale
        left -= width if value < 0 else 0.0
        bars.append({"name": name, "value": value, "x": left if value < 0 else right, "width": width, "tone": tone % 5})
        right += width if value > 0 else 0.0
    drawn = {name for name, _ in added}
    others = [(name, value) for name, value in parts if name not in drawn]
    return {"zero": -low * scale, "bars": bars, "others": others}
