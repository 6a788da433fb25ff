"""Localized re-sampling: which frames of the clip come back for the frames that were selected.

Each selected frame stands for the interval between its neighbours among the frames shown; intervals that meet are one.
So k isolated frames bring a spacing of 2k/16 of the present one: one frame eight times finer, eight frames no finer
at all, which is how selecting less pays. The paper says as much as "nearest temporal neighbours" and "uniformly"
(arXiv 2510.15440); the exact rules here are reconstructed. Times are seconds, frames are indices into the clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmreason.media.clip import ClipInfo

Interval = tuple[float, float]
_TIE = 1e-6
"""Seconds by which two frames may differ and still be equally near, whatever floats make of it; the earlier wins."""


@dataclass(frozen=True, slots=True)
class View:
    """The frames that a call may name."""

    frames: tuple[int, ...]
    """Indices into the clip, ascending."""
    seconds: tuple[float, ...]
    """When they appear."""
    ends: Interval
    """Beginning and end of the clip, or of the part of it that is asked about."""
    spans: tuple[Interval, ...] = ()
    """The intervals that they were sampled from; empty for the grid."""


def zoom(info: ClipInfo, view: View, selected: Sequence[int], count: int, seen: bool = False) -> View:
    """The view after selecting `selected` (places in `view`, from 0): at most `count` frames around them.

    `seen`: a selected frame's interval ends where the interval that it was sampled from does (`Edges.SEEN`).
    """
    spans = intervals(view.seconds, selected, view.ends, view.spans if seen else ())
    frames = tuple(refine(info, spans, count))
    return View(frames, tuple(info.seconds(frames)), view.ends, tuple(spans))


def intervals(
    seconds: Sequence[float], selected: Sequence[int], ends: Interval, within: Sequence[Interval] = ()
) -> list[Interval]:
    """Merged intervals from the neighbour before to the neighbour after each selected frame.

    `seconds` are the ascending times of the frames shown, `selected` places among them from 0 (in any order), `ends`
    what stands in for the missing neighbours of the first and the last frame. `within`: disjoint intervals that hold
    the frames; each result is cut to its own.
    """
    times = [ends[0], *seconds, ends[1]]
    merged: list[Interval] = []
    for place in sorted(set(selected)):
        low, high = _cut((times[place], times[place + 2]), seconds[place], within)
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _cut(span: Interval, second: float, within: Sequence[Interval]) -> Interval:
    """The part of `span` in the interval that holds `second`."""
    for low, high in within:
        if low - _TIE <= second <= high + _TIE:
            return max(span[0], low), min(span[1], high)
    return span


def allocate(lengths: Sequence[float], count: int) -> list[int]:
    """Frames of each interval, `count` together, in proportion to the lengths and at least one each.

    Whole shares first, what is left by the largest remainder (equal ones: the first). Where the least of one exceeds
    the whole, the intervals with most frames give (equal ones: the last). `count` must be at least their number.
    """
    total = sum(lengths)
    shares = [count * length / total if total else count / len(lengths) for length in lengths]
    given = [max(1, math.floor(share)) for share in shares]
    while sum(given) < count:
        given[max(range(len(given)), key=lambda place: (shares[place] - given[place], -place))] += 1
    while sum(given) > count:
        given[max(range(len(given)), key=lambda place: (given[place], place))] -= 1
    return given


def refine(info: ClipInfo, spans: Sequence[Interval], count: int) -> list[int]:
    """At most `count` distinct frames of the clip, ascending: nearest to the centres of equal parts of each interval.

    Only frames inside an interval are taken, so a short one gives those that it has. An interval holds a frame.
    """
    times = np.arange(info.frames) / info.fps if info.constant else info.times  # float64 [frames]
    found: set[int] = set()
    for (low, high), number in zip(spans, allocate([high - low for low, high in spans], count), strict=True):
        centres = low + (np.arange(number) + 0.5) * (high - low) / number
        found.update(_nearest(times, centres, low, high))
    return sorted(found)


def _nearest(times: np.ndarray, wanted: np.ndarray, low: float, high: float) -> list[int]:
    """For each wanted time the nearest of the frames from `low` to `high`."""
    first = int(np.searchsorted(times, low - _TIE, "left"))
    last = int(np.searchsorted(times, high + _TIE, "right")) - 1
    after = np.clip(np.searchsorted(times, wanted), first, last)
    before = np.clip(after - 1, first, last)
    earlier = wanted - times[before] <= times[after] - wanted + _TIE
    chosen: list[int] = np.where(earlier, before, after).tolist()
    return chosen
