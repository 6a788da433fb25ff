"""Numbers of finance questions: rule N of the survey of verifiers, one number against one number."""

from __future__ import annotations

from functools import lru_cache

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.judgement import yes_no
from mmreason.rewards.numerals import scale_factor
from mmreason.rewards.quantity import Quantity, parse_number

RELATIVE = 1e-3
"""Accepted relative error whatever the shown precision."""
COARSE = 1e-2
"""Largest relative error excused by rounding to the last shown digit."""
EXPANDED = 1e3
"""Least scale that a number written out in full may have absorbed; below it the two readings lie too near."""

_PERCENT_SCALES = frozenset({"percent", "%", "percentage"})


@lru_cache(maxsize=65536)
def read_gold(gold: str, scale: str) -> Quantity | bool | None:
    """The gold as a quantity, as True/False for yes/no golds, or None if it cannot be read."""
    polarity = yes_no(gold)
    if polarity is not None:
        return polarity
    return parse_number(gold + "%" if scale in _PERCENT_SCALES and "%" not in gold else gold)


def close_enough(value: float, half_unit: float, gold: float) -> bool:
    """Rule N: within 1e-3 relative, or rounded to the shown digit and within 1e-2; zero accepts only zero."""
    if gold == 0.0:
        return abs(value) <= 1e-9
    error = abs(value - gold)
    if error <= RELATIVE * abs(gold):
        return True
    return error <= half_unit * (1 + 1e-9) and error <= COARSE * abs(gold)  # 1e-9: binary fractions at the border


def candidates(read: Quantity, gold: Quantity, answer: Answer) -> list[tuple[float, float]]:
    """(value, half unit) pairs that the shown number may stand for, by the flags of the question."""
    factor = scale_factor(answer.scale) or 1.0
    if factor != 1.0 and read.scaled and not gold.scaled:
        return [(read.value / factor, read.half_unit / factor)]
    pairs = [(read.value, read.half_unit)]
    if factor >= EXPANDED and gold.value and not read.signed_percent and not gold.scaled:
        pairs.append((read.value / factor, read.half_unit / factor))  # 123200000 where 123.2 million is meant
    if factor != 1.0 and gold.scaled and not read.scaled and not read.signed_percent:
        pairs.append((read.value * factor, read.half_unit * factor))
    if answer.asks_percent and not read.signed_percent and not gold.signed_percent:
        pairs.append((read.value / 100, read.half_unit / 100))
    return pairs


def grade_number(read: str, answer: Answer) -> Verdict:
    """Compare by rule N; yes/no golds by their words, never by digits.

    `Answer.scale` is the unit of bare numbers: a prediction with a scale word is divided by it when the gold is
    bare, a bare prediction is multiplied by it when the gold carries a scale word.
    """
    if scale_factor(answer.scale) is None and answer.scale not in _PERCENT_SCALES:
        return Verdict.no_read(Unread.GOLD, f"unknown scale word {answer.scale!r}", read)
    gold = read_gold(answer.gold, answer.scale)
    if gold is None:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold!r} is neither a number nor yes/no", read)
    if isinstance(gold, bool):
        said = yes_no(read)
        if said is None:
            return Verdict.no_read(Unread.PREDICTION, f"expected yes or no, found {read!r}", read)
        return Verdict.of(said is gold, read, f"{'yes' if said else 'no'} against {answer.gold}")
    shown = parse_number(read)
    if shown is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected one number, found {read!r}", read)
    equal = any(close_enough(value, half, gold.value) for value, half in candidates(shown, gold, answer))
    return Verdict.of(equal, read, f"{shown.value:.10g} against {gold.value:.10g}")
