"""Which frames of a clip are looked at, as a compact string that travels with a sample.

`fps:2` (with `min` and `max` frames) and `uniform:32` are the rules of qwen-vl-utils 0.0.14, `segments:16` is that of
MVBench's scorer, `floor:32` that of LongVideoBench's loader, `all` is every frame; `centres:32` and `at:3+7+9` are
ours, for an agent that looks again (docs/media.md). `media.choosing` applies them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from mmreason.errors import UserError, nearest

FACTOR = 2
"""Frames that make one step of the vision tower."""


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
    CENTRES = "centres"
    """One nearest to the middle of each of so many equal parts of the time, never at the very ends."""
    AT = "at"
    """Exactly these, by index from 0."""


DEFAULT = "fps:2"
"""The rule of a clip that names none."""
_PATTERN = re.compile(r"(?P<kind>\w+)(?::(?P<value>[0-9.+]+))?(?P<options>(?:,\w+=[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A rule as `parse` reads and `str` writes it."""

    kind: Kind
    value: float = 0.0
    """Frames a second for `fps`, frames for the others, 0 for `all` and `at`."""
    least: int = 4
    """Fewest frames of `fps`."""
    most: int = 768
    """Most frames of `fps`."""
    frames: tuple[int, ...] = ()
    """Indices of `at`, ascending."""

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
        if kind is Kind.AT:
            return cls(kind, frames=_indices(text, found["value"]))
        value = _value(text, kind, found["value"])
        rule = cls(kind, value, int(options.get("min", 4)), int(options.get("max", 768)))
        if not 1 <= rule.least <= rule.most or rule.most < FACTOR:
            raise UserError(f"frame rule {text!r} wants between {rule.least} and {rule.most} frames")
        return rule

    def __str__(self) -> str:
        if self.kind is Kind.AT:
            return f"{self.kind.value}:{'+'.join(map(str, self.frames))}"
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


def _indices(text: str, written: str | None) -> tuple[int, ...]:
    numbers = (written or "").split("+")
    if not all(number.isdecimal() for number in numbers):
        raise UserError(f"frame rule {text!r} needs frame numbers from 0 on, as in 'at:3+7+9'")
    frames = tuple(map(int, numbers))
    if any(later <= earlier for earlier, later in pairwise(frames)):
        raise UserError(f"frame rule {text!r} names frames out of order or twice; write them ascending, each once")
    return frames
