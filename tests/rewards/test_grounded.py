"""Answers with a time in a JSON object, and who reads them."""

from __future__ import annotations

from typing import Any

import pytest

from mmreason.config import MediaRule
from mmreason.protocol import Protocol
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.grounded import NOTHING, Grounded, asks_window, json_object, read_grounded, seconds
from mmreason.suites.reference.nextgqa import official
from mmreason.suites.reference.spans import said_windows


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12.5, 12.5),
        (0, 0.0),
        ("12.5", 12.5),
        (" 12 s", 12.0),
        ("1:02.5", 62.5),
        ("1:00:01", 3601.0),
        ("07", 7.0),
        (True, None),
        (None, None),
        (-1, None),
        ("-1", None),
        ("1.2.3", None),
        ("1e3", None),
        ("Infinity", None),
        (float("inf"), None),
        (float("nan"), None),
        (10**400, None),
        ("\u0661\u0662", None),  # Arabic digits
        ("12 m", None),
        ([12], None),
    ],
)
def test_seconds(value: Any, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ('{"option": "B", "start_time": "12.0", "end_time": "18.5"}', Grounded("B", (12.0, 18.5))),
        ('{"end_time": 18.5, "start_time": 12}', Grounded(None, (12.0, 18.5))),
        ('{"option": "B", "start_time": "18.5", "end_time": "12.0"}', Grounded("B", None)),
        ('{"option": "2 dogs or one", "start_time": "1", "end_time": "2"}', Grounded("2 dogs or one", (1.0, 2.0))),
        ('{"option": " ", "start_time": "1"}', NOTHING),
        ('{"option": ["B"]}', NOTHING),
        ('{"option": "A", "option": "B"}', Grounded('{"option": "A", "option": "B"}', None)),
        ("[3, 7]", Grounded(None, (3.0, 7.0))),
        ("from 3 to 7 seconds", Grounded(None, (3.0, 7.0))),
        ("[[1, 2], [3, 4]]", Grounded("[[1, 2], [3, 4]]", None)),
        ("B", Grounded("B", None)),
        ("", NOTHING),
    ],
)
def test_blocks(block: str, expected: Grounded) -> None:
    assert read_grounded(block) == expected


def test_what_is_no_object_or_too_long() -> None:
    assert json_object("[1]") is None and json_object("{") is None and json_object("[" * 400) is None
    assert json_object('{"a": "' + "x" * 1000 + '"}') is None


def choice(**evidence: Any) -> Sample:
    answer = Answer(AnswerKind.CHOICE, "B", {"A": "a dog", "B": "a cat"})
    return Sample("s", Source("d", "t", "", "0"), (Message.of(Role.USER, "which ?"),), answer, evidence=evidence)


SAID = '<think>x</think><answer>{"option": "B", "start_time": "3.0", "end_time": "7.5s"}</answer>'


def test_scorers_of_moments_read_the_object() -> None:
    assert said_windows(SAID) == [(3.0, 7.5)]
    assert said_windows(SAID.replace('"3.0"', '"9"')) is None, "reversed"
    assert official.score(SAID, choice(windows=[[3, 7]]), None) is True  # type: ignore[arg-type]
    assert official.score(SAID.replace('"B"', '"A"'), choice(windows=[[3, 7]]), None) is False  # type: ignore[arg-type]


def test_questions_that_want_a_window_have_a_prompt_of_their_own() -> None:
    protocol = Protocol(None, {"choice.en": "plain {question}", "choice-timed.en": "timed {question}"})
    plain, timed = choice(), choice(windows=[[3, 7]])
    assert (asks_window(plain), asks_window(timed)) == (False, True)
    assert protocol.apply(plain).question.startswith("plain") and protocol.apply(timed).question.startswith("timed")
    other = timed.with_meta(family="what")
    assert not asks_window(other) and protocol.apply(other).question.startswith("plain")
    assert protocol.having({}, MediaRule()).template(timed) == "timed {question}"
