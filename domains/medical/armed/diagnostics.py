"""Does the reward tell answers apart? Measures of its collapse, for logs and reports (arXiv 2508.12957).

The paper's claim is about the spread of the semantic reward (0.029 before, 0.104 after; second hand, read as standard
deviations). A spread alone proves little, since group-normalised advantages undo any linear stretch; so ranks and blind
spots are counted beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev

from mmreason.project import load_module

conflict = load_module(Path(__file__).parent.parent / "conflicts.py")

SAME = 1e-6
"""Rewards nearer than this are one rank, and a group within it has no variance."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a part of the reward varies inside groups of answers to one question."""

    sd: float
    """Mean over groups of the standard deviation of the population."""
    resolution: float
    """Mean over groups of the number of distinct values by the number of answers; 1: all told apart."""
    flat: float
    """Share of groups without any variance."""


def spread(values: Sequence[float], groups: Sequence[int]) -> Spread:
    """The measures of values [N] with the number of each one's group. Raises ValueError for unequal lengths."""
    of: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        of.setdefault(group, []).append(value)
    if not of:
        return Spread(0.0, 0.0, 0.0)
    return Spread(
        fmean(pstdev(own) for own in of.values()),
        fmean(len({round(value / SAME) for value in own}) / len(own) for own in of.values()),
        fmean(max(own) - min(own) <= SAME for own in of.values()),
    )


def order_blindness(score: Callable[[str, str], float], golds: Iterable[str]) -> tuple[float, float]:
    """(share of references with a side whose score stays when left and right change places, mean score after it).

    `score(answer, reference)` is asked with the reference's mirror image as answer. References without a side are
    passed over; (0, 0) where none is left. A score that sees sides gives (0, about 0).
    """
    sided = [gold for gold in golds if conflict.has_side(gold)]
    swapped = [score(conflict.swap_sides(gold), gold) for gold in sided]
    kept = [abs(after - score(gold, gold)) <= SAME for after, gold in zip(swapped, sided, strict=True)]
    return (fmean(kept), fmean(swapped)) if sided else (0.0, 0.0)
