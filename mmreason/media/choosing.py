"""Frame rules applied to a clip: which of its frames are looked at.

Deviations from the libraries, all where they fail: a clip or window of one frame gives that frame twice; `uniform`
takes fewer frames from shorter clips; MVBench's indices are clamped into the clip; windows of a clip with varying frame
rate go by its frame times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mmreason.errors import UserError
from mmreason.media.clip import ClipInfo
from mmreason.media.frame_rules import FACTOR, FrameRule, Kind

_EVER = 100_000.0
"""Seconds that MVBench's scorer puts for a missing bound."""
_TIE = 1e-6
"""Seconds by which two frames may differ and still be equally near, whatever floats make of it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The frames that a rule takes of one clip."""

    indices: tuple[int, ...]
    """Ascending, from 0; a frame may stand several times."""
    sample_fps: float
    """Frames looked at per second of the clip, from which the model counts time."""
    note: str = ""
    """What had to be bent to get frames at all."""


def choose(
    rule: FrameRule, info: ClipInfo, start: float | None = None, end: float | None = None, once: bool = False
) -> Chosen:
    """Frames of the clip, or of its part from `start` to `end` seconds. Raises UserError for a window without one.

    `once`: none twice, for frames that stand as pictures of their own; a single one is doubled otherwise.
    """
    if start is not None and end is not None and start > end:
        raise UserError(f"the window from {start:g} to {end:g} seconds ends before it begins")
    chosen = _RULES[rule.kind](rule, info, start, end)
    if once:
        return replace(chosen, indices=tuple(dict.fromkeys(chosen.indices)))
    if len(chosen.indices) == 1:
        return Chosen(chosen.indices * FACTOR, chosen.sample_fps * FACTOR, chosen.note)
    return chosen


def _every(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    return Chosen(tuple(range(first, last + 1)), info.fps)


def _by_fps(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    total = last - first + 1
    least, most = math.ceil(rule.least / FACTOR) * FACTOR, min(rule.most, total) // FACTOR * FACTOR
    count = min(max(total / info.fps * rule.value, least), most, total)
    return _spread(info, first, last, math.floor(count / FACTOR) * FACTOR)


def _uniform(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    count = max(round(rule.value / FACTOR) * FACTOR, FACTOR)
    return _spread(info, first, last, min(count, (last - first + 1) // FACTOR * FACTOR))


def _spread(info: ClipInfo, first: int, last: int, count: int) -> Chosen:
    """`count` frames from first to last, both included; one where the window has but one."""
    import torch  # its float32 linspace decides ties as qwen-vl-utils does; parsing a rule needs no torch

    if last == first:
        return Chosen((first,), info.fps)
    indices = torch.linspace(first, last, count).round().long().tolist()
    return Chosen(tuple(indices), count / (last - first + 1) * info.fps)


def _segments(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    """Frames are numbered from `info.first`, so that folders that begin with 1 shift by one."""
    count = int(rule.value)
    low = max(info.first, _number_near(info, -_EVER if start is None else start))
    high = min(info.first + info.frames - 1, _number_near(info, _EVER if end is None else end))
    part = float(high - low) / count
    numbers = [int(low + part / 2 + np.round(part * index)) for index in range(count)]
    held = [min(max(number - info.first, 0), info.frames - 1) for number in numbers]
    bent = "" if held == [n - info.first for n in numbers] else f"window {start}-{end} s lies outside the clip, clamped"
    return Chosen(tuple(sorted(held)), count * info.fps / max(high - low, 1), bent)


def _number_near(info: ClipInfo, seconds: float) -> int:
    """The frame number that the scorer computes; the nearest frame in time where the rate varies."""
    if info.constant or not 0 <= seconds <= info.duration:
        return round(seconds * info.fps)
    return info.first + int(np.abs(info.times - seconds).argmin())


def _floor(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    """`end` stands for the annotated duration, which the loader takes instead of the file's."""
    first, last = _window(info, start, end)
    span = (info.duration if end is None else end) - (start or 0.0)
    total = last - first + 1 if end is None else int(span * info.fps)
    count = max(min(int(rule.value), int(span)), 1)
    step = int(total / count)
    wanted = [first + step * index for index in range(count)]
    held = tuple(min(index, last) for index in wanted)
    bent = "" if list(held) == wanted else f"the annotated {span:g} s are longer than the clip, clamped"
    return Chosen(held, info.fps / max(step, 1), bent)


def _centres(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    """Nearest to start + (k - 1/2) * length / count for k = 1..count; two equally near: the earlier.

    Fewer than `count` where the rate varies so much that one frame is nearest to two of these times.
    """
    first, last = _window(info, start, end)
    begin, finish = max(start or 0.0, 0.0), info.duration if end is None else min(end, info.duration)
    count = min(int(rule.value), last - first + 1)
    part = (finish - begin) / count
    at = np.array(info.seconds(range(first, last + 1)))
    wanted = begin + part * (np.arange(count) + 0.5)
    after = np.clip(np.searchsorted(at, wanted), 1, max(len(at) - 1, 1))
    earlier = wanted - at[after - 1] <= at[np.minimum(after, len(at) - 1)] - wanted + _TIE
    indices = first + np.minimum(np.where(earlier, after - 1, after), len(at) - 1)
    return Chosen(tuple(np.unique(indices).tolist()), 1 / part if part > 0 else info.fps)


def _at(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    outside = [index for index in rule.frames if not first <= index <= last]
    if outside:
        raise UserError(f"frame rule {str(rule)!r} names frame {outside[0]}, there are {first} to {last}")
    times = info.seconds([rule.frames[0], rule.frames[-1]])
    span = times[1] - times[0]
    return Chosen(rule.frames, (len(rule.frames) - 1) / span if span > 0 else info.fps)


def _window(info: ClipInfo, start: float | None, end: float | None) -> tuple[int, int]:
    """First and last index between two times, both included."""
    first, last = 0, info.frames - 1
    if info.constant:
        longest = info.frames / info.fps
        first = math.ceil(max(0.0, min(start, longest)) * info.fps) if start is not None else first
        last = min(math.floor(max(0.0, min(end, longest)) * info.fps), last) if end is not None else last
    else:
        first = int(np.searchsorted(info.times, start, "left")) if start is not None else first
        last = int(np.searchsorted(info.times, end, "right")) - 1 if end is not None else last
    if first > last:
        window = f"from {start or 0.0:g} to {info.duration if end is None else end:g} seconds"
        raise UserError(f"the window {window} holds no frame of {info.duration:g} seconds at {info.fps:g} a second")
    return first, last


_RULES: dict[Kind, Callable[[FrameRule, ClipInfo, float | None, float | None], Chosen]] = {
    Kind.FPS: _by_fps,
    Kind.UNIFORM: _uniform,
    Kind.SEGMENTS: _segments,
    Kind.FLOOR: _floor,
    Kind.ALL: _every,
    Kind.CENTRES: _centres,
    Kind.AT: _at,
}
