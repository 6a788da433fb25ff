"""Coefficients that may change over a run. Imports no torch."""

from __future__ import annotations

import math
from typing import Literal

from mmreason.config.strict import Strict


class Schedule(Strict):
    """From `start` to `end` over `steps` steps after the first `begin`; constant before and after."""

    kind: Literal["linear", "cosine", "step", "oscillate"] = "linear"
    """linear; half a cosine; all at once after `steps`; whole cosines of period `steps`, `start` on top."""
    start: float
    end: float
    begin: int = 0
    steps: int | None = None
    """None: the rest of the run."""


Coefficient = float | Schedule
"""A number, or a schedule in its place."""


def value(coefficient: Coefficient, step: int, total: int) -> float:
    """The coefficient at `step` (1-based) of `total`."""
    if not isinstance(coefficient, Schedule):
        return float(coefficient)
    s = coefficient
    length = max(s.steps if s.steps is not None else total - 1 - s.begin, 1)
    gone = (step - 1 - s.begin) / length
    if s.kind == "oscillate":
        return s.end + (s.start - s.end) * 0.5 * (1.0 + math.cos(2.0 * math.pi * max(gone, 0.0)))
    gone = min(max(gone, 0.0), 1.0)
    if s.kind == "step":
        return s.end if gone >= 1.0 else s.start
    share = gone if s.kind == "linear" else 0.5 * (1.0 - math.cos(math.pi * gone))
    return s.start + (s.end - s.start) * share
