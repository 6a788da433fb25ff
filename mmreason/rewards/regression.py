"""Measured numbers: credit by relative error."""

from __future__ import annotations

import math

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.number import candidates, read_gold
from mmreason.rewards.quantity import Quantity, parse_number

THRESHOLD = 0.95
"""Least relative accuracy that counts as right; ours, the strictest level of `mean_relative_accuracy`."""
NEAR_ZERO = 1e-6
"""Golds below this have no relative error: the absolute one is taken, on a scale of 1."""
LEVELS = tuple(level / 100 for level in range(50, 100, 5))
"""Confidence levels of `mean_relative_accuracy`."""


def relative_accuracy(read: float, gold: float) -> float:
    """1 - |read - gold| / |gold|, clipped to [0, 1]; see `NEAR_ZERO`. Not finite: 0. An exact hit is 1, on 0 too."""
    if not math.isfinite(read) or not math.isfinite(gold):
        return 0.0
    scale = abs(gold) if abs(gold) >= NEAR_ZERO else 1.0
    return max(0.0, 1.0 - abs(read - gold) / scale)


def mean_relative_accuracy(read: float, gold: float) -> float:
    """Share of the levels .50, .55 ... .95 with |read - gold| / |gold| <= 1 - level (VSI-Bench), in [0, 1].

    A value that is not finite scores 0. Raises ValueError for a gold of 0, where the figure is not defined.
    """
    if gold == 0.0 or not math.isfinite(gold):
        raise ValueError(f"mean relative accuracy needs a finite gold other than 0, found {gold}")
    if not math.isfinite(read):
        return 0.0
    error = abs(read - gold) / abs(gold)
    return sum(error <= 1 - level + 1e-12 for level in LEVELS) / len(LEVELS)  # 1e-12: binary fractions at the border


def grade_regression(read: str, answer: Answer) -> Verdict:
    """Right from `Answer.threshold` (0.95) of relative accuracy on; that accuracy is the credit.

    Numbers are read as `number.parse_number` reads them, units and scale words included.
    """
    gold = read_gold(answer.gold, answer.scale)
    if not isinstance(gold, Quantity) or not math.isfinite(gold.value):
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold[:80]!r} is no finite number", read)
    shown = parse_number(read)
    if shown is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected one finite number, found {read[:80]!r}", read)
    value = max(relative_accuracy(said, gold.value) for said, _ in candidates(shown, gold, answer))
    threshold = THRESHOLD if answer.threshold is None else answer.threshold
    return Verdict.graded(value, threshold, read, f"{shown.value:.10g} against {gold.value:.10g}")
