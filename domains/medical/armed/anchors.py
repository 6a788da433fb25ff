"""The adaptive map: similarities that lie close together, stretched around a quantile of those seen before.

    tau = Quantile_q(B)      T = max((Quantile_.75(B) - Quantile_.25(B)) / (2 ln 3), T_min)
    M(s) = 1 / (1 + exp(-(s - tau) / T))

B holds the last raw similarities. With that T the quartiles of a symmetric history map to 0.25 and 0.75, whatever the
encoder's scale. Reconstructed from "history buffer, dynamic quantile threshold, S-shaped map" (ARMed, arXiv 2508.12957;
second hand): one threshold, the logistic curve and the slope from the quartiles are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the map needs of a history."""

    tau: float
    slope: float
    """T; 0 marks the line from `low` to `high` in place of the S."""
    low: float = 0.0
    high: float = 1.0

    def apply(self, value: float) -> float:
        """M(value) in [0, 1], rising with `value`."""
        if not self.slope:
            return min(max((value - self.low) / max(self.high - self.low, 1e-12), 0.0), 1.0)
        x = (value - self.tau) / self.slope
        return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def anchors(history: Sequence[float], settings: Any) -> Anchors:
    """The anchors of a history of at least one value under `MapSettings`."""
    ordered = sorted(history)
    tau = quantile(ordered, settings.quantile)
    if settings.q_low is not None:
        return Anchors(tau, 0.0, quantile(ordered, settings.q_low), quantile(ordered, settings.q_high))
    spread = quantile(ordered, 0.75) - quantile(ordered, 0.25)
    return Anchors(tau, max(spread / (2 * math.log(3)), settings.least_slope))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linearly interpolated quantile of ascending values."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def affine(value: float, floor: float) -> float:
    """(value - floor) / (1 - floor), clipped to [0, 1]."""
    return min(max((value - floor) / (1.0 - floor), 0.0), 1.0)


def minmax(values: Sequence[float]) -> list[float]:
    """Each value from 0 for the least to 1 for the most of `values`; all 0.5 where they are equal."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) for value in values] if high > low else [0.5] * len(values)


def appended(history: Sequence[float], values: Iterable[float], most: int) -> list[float]:
    """The last `most` of the history with `values` at its end."""
    return [*history, *values][-most:]
