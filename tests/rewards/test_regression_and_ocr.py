"""Credit by relative error and by character edits."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.grade import grade
from mmreason.rewards.ocr import character_error_rate, edit_distance
from mmreason.rewards.regression import mean_relative_accuracy, relative_accuracy

ACCURACY = [  # (read, gold, 1 - |read - gold| / |gold|, on a scale of 1 beside zero)
    (90.0, 100.0, 0.9),
    (110.0, 100.0, 0.9),
    (-100.0, 100.0, 0.0),
    (300.0, 100.0, 0.0),
    (-90.0, -100.0, 0.9),
    (0.0, 0.0, 1.0),
    (0.25, 0.0, 0.75),
    (1.0, 1e-9, 0.0),
    (math.nan, 42.0, 0.0),
    (math.inf, 100.0, 0.0),
    (1.0, math.inf, 0.0),
]


@pytest.mark.parametrize(("read", "gold", "value"), ACCURACY)
def test_relative_accuracy(read: float, gold: float, value: float) -> None:
    assert relative_accuracy(read, gold) == pytest.approx(value, abs=1e-9)


MEAN = [  # share of the ten levels .50 ... .95 that the relative error stays within
    (100.0, 1.0),
    (105.0, 1.0),  # 0.05 is within 1 - 0.95
    (105.1, 0.9),
    (110.0, 0.9),
    (75.0, 0.6),  # 0.25: levels .50 ... .75
    (150.0, 0.1),
    (151.0, 0.0),
    (-100.0, 0.0),
    (math.nan, 0.0),
    (math.inf, 0.0),
]


@pytest.mark.parametrize(("read", "value"), MEAN)
def test_mean_relative_accuracy(read: float, value: float) -> None:
    assert mean_relative_accuracy(read, 100.0) == pytest.approx(value)


def test_mean_relative_accuracy_is_not_defined_at_zero() -> None:
    with pytest.raises(ValueError, match="other than 0"):
        mean_relative_accuracy(1.0, 0.0)


def test_regression_verdicts() -> None:
    def said(text: str, gold: str, **known: object) -> tuple[Outcome, float]:
        verdict = grade(rf"\boxed{{{text}}}", Answer(AnswerKind.REGRESSION, gold, **known))  # type: ignore[arg-type]
        return verdict.outcome, round(verdict.credit, 9)

    assert said("95", "100") == (Outcome.RIGHT, 0.95)
    assert said("94.9", "100") == (Outcome.WRONG, 0.949)
    assert said("90", "100", threshold=0.9) == (Outcome.RIGHT, 0.9)
    assert said("3.5 m", "3.5") == (Outcome.RIGHT, 1.0)
    assert said("1.2 million", "1200000") == (Outcome.RIGHT, 1.0)
    assert said("12%", "0.12") == (Outcome.RIGHT, 1.0)
    for text in ("nan", "inf", "-inf", "about", "3 or 4", "9" * 400):
        assert said(text, "42") == (Outcome.UNREAD, 0.0), text
    for gold in ("", "nan", "yes", "3 to 4"):
        assert grade(r"\boxed{3}", Answer(AnswerKind.REGRESSION, gold)).unread is Unread.GOLD, gold


def _slow_distance(read: str, gold: str) -> int:
    row = list(range(len(gold) + 1))
    for number, char in enumerate(read, start=1):
        before, row[0] = row[0], number
        for place, other in enumerate(gold, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (char != other))
    return row[-1]


@given(read=st.text("abc净利", max_size=30), gold=st.text("abc净利", max_size=30))
@settings(max_examples=300, deadline=None)
def test_edit_distance_equals_its_slow_twin(read: str, gold: str) -> None:
    assert edit_distance(read, gold) == _slow_distance(read, gold)


def test_long_texts_are_compared_in_time() -> None:
    noise = random.Random(0)
    read, gold = ("".join(noise.choices("abcdefgh", k=10_000)) for _ in range(2))
    assert 0.4 < character_error_rate(read, gold) < 0.8


ERRORS = [
    ("净利润增", "净利润增长", 0.2),
    ("total due: $45", "Total Due: $45", 0.0),
    ("净 利 润", "净利润", 0.0),
    ("ＡＢＣ", "abc", 0.0),
    ("a\n  b", "a b", 0.0),
    ("ab", "a b", 1 / 3),
    ("xyz", "a", 3.0),
]


@pytest.mark.parametrize(("read", "gold", "rate"), ERRORS)
def test_character_error_rate(read: str, gold: str, rate: float) -> None:
    assert character_error_rate(read, gold) == pytest.approx(rate)


def test_ocr_verdicts() -> None:
    answer = Answer(AnswerKind.OCR, "STOP", aliases={"also": ["Halt"]})
    assert grade("<answer>stop</answer>", answer).outcome is Outcome.RIGHT
    assert grade("<answer>HALT</answer>", answer).outcome is Outcome.RIGHT
    near = grade("<answer>ST0P</answer>", answer)
    assert (near.outcome, near.credit) == (Outcome.WRONG, 0.75)
    assert grade("<answer>ST0P</answer>", Answer(AnswerKind.OCR, "STOP", threshold=0.7)).outcome is Outcome.RIGHT
    assert grade("<answer>something else</answer>", answer).credit == 0.0
    with pytest.raises(ValueError, match="gold with characters"):
        character_error_rate("a", " ")
