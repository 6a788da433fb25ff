"""Which frames of a clip are looked at, as a compact string that travels with a sample.

`fps:2` (with `min` and `max` frames) and `uniform:32` are the rules of qwen-vl-utils 0.0.14, `segments:16` is that of
MVBench's scorer, `floor:32` that of LongVideoBench's loader, `all` is every frame. Deviations, all where the libraries
fail: a clip or window of one frame gives that frame twice; `uniform` takes fewer frames from shorter clips; MVBench's
indices are clamped into the clip; windows of a clip with varying frame rate go by its frame times.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mmreason.errors import UserError, nearest
from mmreason.media.clip import ClipInfo

_FACTOR = 2
"""Frames that make one step of the vision tower."""
_EVER = 100_000.0
"""Seconds that MVBench's scorer puts for a missing bound."""


class Kind(StrEnum):
    """How frames are chosen."""

    FPS = "fps"
    """So many a second, at even distance, both ends included."""
    UNIFORM = "uniform"
    """A fixed number at even distance, both ends included."""
    SEGMENTS = "segments"
    """One near the middle of each of so many equal parts."""
    FLOOR = "floor"
    """At most so many, at a whole distance from the first frame on; never the last one."""
    ALL = "all"
    """Every frame."""


DEFAULT = "fps:2"
"""The rule of a clip that names none."""
_PATTERN = re.compile(r"(?P<kind>\w+)(?::(?P<value>[0-9.]+))?(?P<options>(?:,\w+=[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A rule as `parse` reads and `str` writes it."""

    kind: Kind
    value: float = 0.0
    """Frames a second for `fps`, frames for the others, 0 for `all`."""
    least: int = 4
    """Fewest frames of `fps`."""
    most: int = 768
    """Most frames of `fps`."""

    @classmethod
    def parse(cls, text: str) -> FrameRule:
        """From "fps:2,min=4,max=32" and the like. Raises UserError with the nearest rule or key."""
        found = _PATTERN.fullmatch(text.strip())
        known = [kind.value for kind in Kind]
        if not found or found["kind"] not in known:
            name = found["kind"] if found else text
            raise UserError(f"frame rule {text!r} is unknown{nearest(name, known)}; write for example 'fps:2,max=32'")
        kind = Kind(found["kind"])
        options = dict(pair.split("=") for pair in found["options"].split(",")[1:])
        keys = ("min", "max") if kind is Kind.FPS else ()
        for key in options:
            if key not in keys:
                hint = nearest(key, keys) if keys else " (it takes none)"
                raise UserError(f"frame rule {text!r} has the option {key!r}{hint}")
        value = _value(text, kind, found["value"])
        rule = cls(kind, value, int(options.get("min", 4)), int(options.get("max", 768)))
        if not 1 <= rule.least <= rule.most or rule.most < _FACTOR:
            raise UserError(f"frame rule {text!r} wants between {rule.least} and {rule.most} frames")
        return rule

    def __str__(self) -> str:
        options = f",min={self.least}" * (self.least != 4) + f",max={self.most}" * (self.most != 768)
        return self.kind.value + f":{self.value:.12g}" * (self.kind is not Kind.ALL) + options


def _value(text: str, kind: Kind, written: str | None) -> float:
    if kind is Kind.ALL:
        if written is not None:
            raise UserError(f"frame rule {text!r} takes no number")
        return 0.0
    try:
        value = float(written or "")
    except ValueError:
        raise UserError(f"frame rule {text!r} needs a number, as in '{kind}:2'") from None
    if value <= 0 or not math.isfinite(value):
        raise UserError(f"frame rule {text!r} needs a number above 0")
    if kind is not Kind.FPS and not value.is_integer():
        raise UserError(f"frame rule {text!r} needs a whole number of frames")
    return value


@dataclass(frozen=True, slots=True)
class Chosen:
    """The frames that a rule takes of one clip."""

    indices: tuple[int, ...]
    """Ascending, from 0; a frame may stand several times."""
    sample_fps: float
    """Frames looked at per second of the clip, from which the model counts time."""
    note: str = ""
    """What had to be bent to get frames at all."""


def choose(rule: FrameRule, info: ClipInfo, start: float | None = None, end: float | None = None) -> Chosen:
    """Frames of the clip, or of its part from `start` to `end` seconds. Raises UserError for a window without one."""
    if start is not None and end is not None and start > end:
        raise UserError(f"the window from {start:g} to {end:g} seconds ends before it begins")
    chosen = _RULES[rule.kind](rule, info, start, end)
    if len(chosen.indices) == 1:
        return Chosen(chosen.indices * _FACTOR, chosen.sample_fps * _FACTOR, chosen.note)
    return chosen


def _every(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    return Chosen(tuple(range(first, last + 1)), info.fps)


def _by_fps(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    total = last - first + 1
    least, most = math.ceil(rule.least / _FACTOR) * _FACTOR, min(rule.most, total) // _FACTOR * _FACTOR
    count = min(max(total / info.fps * rule.value, least), most, total)
    return _spread(info, first, last, math.floor(count / _FACTOR) * _FACTOR)


def _uniform(rule: FrameRule, info: ClipInfo, start: float | None, end: float | None) -> Chosen:
    first, last = _window(info, start, end)
    count = max(round(rule.value / _FACTOR) * _FACTOR, _FACTOR)
    return _spread(info, first, last, min(count, (last - first + 1) // _FACTOR * _FACTOR))


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
}
