"""Purity: the IoU of the frames that were selected with the gold frames among those that could be.

S is the set of selected frames and G that of gold frames, IoU = |S n G| / |S u G| (arXiv 2510.15440). Gold is kept in
seconds, so that it survives another grid and tells gold frames among re-sampled ones too; those rules are ours.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample


def gold_times(sample: Sample, grid: Sequence[float], shuffled: bool = False) -> list[float] | None:
    """Seconds of the gold frames, ascending; None where the sample has no `gold_times` in its evidence.

    `shuffled`: their places on the grid, moved round by a number of places drawn by the sample's id: as many and as far
    apart as before, at a time that says nothing. Raises UserError for what is no list of seconds.
    """
    times = sample.evidence.get("gold_times")
    if times is None:
        return None
    if not isinstance(times, list) or not times or any(type(time) not in (int, float) for time in times):
        raise UserError(f"sample {sample.id}: gold_times are {times!r}, expected a list of seconds; label it again")
    if not shuffled:
        return sorted(map(float, times))
    step = random.Random(f"shuffled gold of {sample.id}").randrange(len(grid))
    return sorted({grid[(_nearest(grid, time) + step) % len(grid)] for time in times})


def gold_places(seconds: Sequence[float], gold: Sequence[float], tolerance: float, grid: bool) -> list[int]:
    """Places of the gold frames among frames shown at `seconds`, ascending; empty where there is none.

    On the grid each gold time stands for the nearest frame; later all frames within `tolerance` seconds of one count.
    """
    if grid:
        return sorted({_nearest(seconds, time) for time in gold})
    near = (min(abs(second - time) for time in gold) <= tolerance + 1e-9 for second in seconds)
    return [place for place, hit in enumerate(near) if hit]


def iou(selected: Collection[int], gold: Collection[int]) -> float:
    """|S n G| / |S u G|; 0 for two empty sets."""
    either = {*selected, *gold}
    return len({*selected} & {*gold}) / len(either) if either else 0.0


def union_iou(calls: Sequence[dict[str, Any]]) -> float:
    """IoU of all frames selected in these turns with all gold frames that were shown in them."""
    selected = {turn["shown"]["frames"][place] for turn in calls for place in turn["selected"]}
    gold = {turn["shown"]["frames"][place] for turn in calls for place in turn["gold"] or ()}
    return iou(selected, gold)


def _nearest(seconds: Sequence[float], time: float) -> int:
    """The earlier of two equally near ones."""
    return min(range(len(seconds)), key=lambda place: abs(seconds[place] - time))
