"""Paired claims over seeds: differences by hand, verdicts by where the interval lies and how many seeds there are."""

from __future__ import annotations

import pytest

from mmreason.suites.seeded import PairedClaim, arms_table, findings_table, judge

CLAIM = PairedClaim("a beats b", "accuracy", "a", "b")


def answers(right: int, of: int = 40) -> dict[str, float]:
    return {f"q{number}": float(number < right) for number in range(of)}


def test_a_difference_is_paired_by_question() -> None:
    found = judge(CLAIM, [answers(30)] * 3, [answers(10)] * 3, 3)
    assert found.by_seed == (0.5, 0.5, 0.5)
    assert found.gain.mean == pytest.approx(0.5)
    assert found.verdict == "holds" and found.gain.low > 0


def test_too_few_seeds_decide_nothing_and_a_margin_counts() -> None:
    assert judge(CLAIM, [answers(30)] * 2, [answers(10)] * 2, 3).verdict == "not decided"
    strict = PairedClaim("a beats b by far", "accuracy", "a", "b", margin=0.7)
    assert judge(strict, [answers(30)] * 3, [answers(10)] * 3, 3).verdict == "fails"
    assert judge(CLAIM, [answers(10)] * 3, [answers(10)] * 3, 3).verdict == "not decided"


def test_tables_name_arms_and_numbers() -> None:
    text = arms_table({"a": [{"acc": 0.5, "frames": 16.0}, {"acc": 0.7, "frames": 16.0}]}, {"a": "all"}, ["frames"])
    assert "| a: all | 60.0 +- 14.1 | 16.0 +- 0.0 |" in text
    said = findings_table([judge(CLAIM, [answers(30)], [answers(10)], 3)], 3)
    assert "| a beats b (a - b, accuracy) | +50.0" in said and "not decided" in said
