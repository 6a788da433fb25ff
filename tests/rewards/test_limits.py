"""Answers made to cost time or memory: a verdict in time, whatever the kind."""

from __future__ import annotations

import json
import time

import psutil
import pytest

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.grade import LONGEST_ANSWER, grade
from mmreason.rewards.math_expr import SECONDS
from mmreason.rewards.math_limits import refuse
from mmreason.rewards.math_pool import MEMORY, JobTimeout, Pool, shared_pool

GOLDS = {
    AnswerKind.CHOICE: Answer(AnswerKind.CHOICE, "B", {"A": "one", "B": "two", "C": "three"}),
    AnswerKind.NUMBER: Answer(AnswerKind.NUMBER, "12.5"),
    AnswerKind.JUDGEMENT: Answer(AnswerKind.JUDGEMENT, "yes"),
    AnswerKind.MATH: Answer(AnswerKind.MATH, r"\frac{\pi}{3}"),
    AnswerKind.SPAN: Answer(AnswerKind.SPAN, "net income"),
    AnswerKind.SET: Answer(AnswerKind.SET, '["red", "green"]'),
    AnswerKind.FREE: Answer(AnswerKind.FREE, "Revenue rose because prices rose."),
    AnswerKind.INTERVAL: Answer(AnswerKind.INTERVAL, "[[3, 7]]"),
    AnswerKind.BOX: Answer(AnswerKind.BOX, "[1, 2, 3, 4]"),
    AnswerKind.FRAMES: Answer(AnswerKind.FRAMES, "[1, 2]"),
    AnswerKind.REGRESSION: Answer(AnswerKind.REGRESSION, "12.5"),
    AnswerKind.OCR: Answer(AnswerKind.OCR, "STOP"),
    AnswerKind.PROGRAM: Answer(AnswerKind.PROGRAM, "add(1, 2)"),
}
MEGABYTES = 10_000_000
LONG = {
    "one letter": "A" * MEGABYTES,
    "words": "net income " * (MEGABYTES // 11),
    "digits": "9" * MEGABYTES,
    "spaces": " " * MEGABYTES + "x",
    "open boxes": r"\boxed{" * (MEGABYTES // 7),
    "nested boxes": r"\boxed{" * (MEGABYTES // 10) + "5" + "}" * (MEGABYTES // 10),
    "boxes far apart": r"\boxed{B}" + " " * (MEGABYTES // 2) + r"z\boxed{C}",
    "brackets": "[" * MEGABYTES,
    "tags": "<answer>" * (MEGABYTES // 8),
    "control characters": "\x00\x07\x1b[31m\u202e" * (MEGABYTES // 10),
}


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    """Workers start before times are taken."""
    grade(r"\boxed{x+1}", Answer(AnswerKind.MATH, "1+x"))


def test_every_kind_has_a_row_here() -> None:
    assert set(GOLDS) == set(AnswerKind)


@pytest.mark.parametrize("name", LONG)
def test_ten_megabytes(name: str) -> None:
    outputs = [f"<think>so</think><answer>{LONG[name]}</answer>", LONG[name]]
    for kind in (AnswerKind.CHOICE, AnswerKind.FREE):  # cut to size before any grader sees it: two kinds are enough
        for output in outputs:
            for lenient in (False, True):
                start = time.monotonic()
                verdict = grade(output, GOLDS[kind], lenient=lenient)
                assert time.monotonic() - start < 3
                assert verdict.score == 0.0
                assert verdict.read is None or len(verdict.read) <= LONGEST_ANSWER
                assert len(verdict.why) <= 2 * LONGEST_ANSWER


def _fill(unit: str, tail: str = "") -> str:
    return unit * ((LONGEST_ANSWER - len(tail)) // len(unit)) + tail


HOSTILE = {  # as long as an answer may be, each made for a rule that could look at it more than once
    "ands": _fill("A AND ", "1"),
    "commas": _fill("A, ", "?"),
    "digits": _fill("9"),
    "thousands": _fill("1,000,", "x"),
    "spaces": _fill(" ", "x"),
    "dots": _fill("1.", "x"),
    "clock": _fill("1:", "x"),
    "brackets": _fill("[["),
    "closed brackets": "[" * 9_000 + "]" * 9_000,
    "braces": _fill("{", "}"),
    "wrappers": _fill(r"\text{", "}"),
    "carets": _fill("^"),
    "negations": _fill("not "),
    "Chinese digits": _fill("万"),
    "minus": _fill("- "),
    "words": _fill("net income and "),
    "calls": _fill("add(", ")"),
    "control": _fill("\x00\x1b\x7f"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_cost_no_time(name: str) -> None:
    for kind, answer in GOLDS.items():
        start = time.monotonic()
        verdict = grade(f"<answer>{HOSTILE[name]}</answer>", answer)
        assert time.monotonic() - start < 2, kind
        assert verdict.outcome is not Outcome.RIGHT


def test_control_characters_do_not_hide_an_answer_or_break_a_verdict() -> None:
    assert grade("<answer>\x00B</answer>", GOLDS[AnswerKind.CHOICE]).unread is Unread.PREDICTION
    assert grade("\x1b[1m<answer>B</answer>\x07", GOLDS[AnswerKind.CHOICE]).outcome is Outcome.RIGHT
    for char in map(chr, [*range(32), 0x7F, 0x85, 0x200B, 0x2028, 0x202E, 0xFEFF, 0xD800]):
        for answer in GOLDS.values():
            verdict = grade(f"<answer>{char}1{char}</answer>", answer)
            json.dumps([verdict.read, verdict.why])


REFUSED = [
    "9^{9^{9^9}}",
    "9^9^9^9",
    "(" * 60 + "x" + ")" * 60,
    "+".join(f"{n}^{{7}}" for n in range(400)),
    "2^{100000}",
    "2^100000",
    "20000!",
    "((3!)!)!",
]


@pytest.mark.parametrize("latex", REFUSED)
def test_costly_expressions_never_reach_a_worker(latex: str) -> None:
    assert refuse(latex) is not None
    start = time.monotonic()
    assert grade(rf"\boxed{{{latex}}}", Answer(AnswerKind.MATH, "3")).unread is Unread.PREDICTION
    assert time.monotonic() - start < 0.5


def test_ordinary_expressions_are_not_refused() -> None:
    ordinary = (r"\frac{x^{2}+y^{2}}{z^{2}}", "2^{2^{3}}", r"e^{-x^{2}} + 3^{4} + 5^{6}", "10!", "x^{10} x^{10} x^{10}")
    assert [refuse(latex) for latex in ordinary] == [None] * len(ordinary)


COSTLY = [r"(x+y+z+w+1)^{9999}", r"9999!^{9999}", r"\sum_{n=1}^{9999} \frac{1}{n^{99}}", r"\int_0^1 x^{x^{x}} dx"]


@pytest.mark.parametrize("latex", COSTLY)
def test_costly_expressions_that_pass_the_filter_end_at_the_deadline(latex: str) -> None:
    assert refuse(latex) is None
    start = time.monotonic()
    grade(rf"\boxed{{{latex}}}", Answer(AnswerKind.MATH, r"x+\sqrt{y}"))
    assert time.monotonic() - start < SECONDS + 5  # and the start of a fresh worker


def test_many_costly_elements_share_one_deadline() -> None:
    element = r"(x+y+z+w+{n})^{9999}"
    said = ", ".join(element.replace("{n}", str(n)) for n in range(8))
    gold = ", ".join(element.replace("{n}", str(n)) for n in range(8, 16))
    start = time.monotonic()
    assert grade(rf"\boxed{{{said}}}", Answer(AnswerKind.MATH, gold)).outcome is not Outcome.RIGHT
    assert time.monotonic() - start < SECONDS + 5


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="limits of a process cannot be read here")
def test_a_worker_that_wants_more_than_its_memory_ends_and_is_replaced() -> None:
    limit = 100 << 20
    pool = Pool(1, memory=limit)
    try:
        assert pool.run({"gold": "x+1", "read": "1+x"}, 60)["equal"] is True
        worker = next(child for child in psutil.Process().children() if str(limit) in child.cmdline())
        assert worker.rlimit(psutil.RLIMIT_AS) == (limit, limit)
        with pytest.raises(JobTimeout):
            pool.run({"gold": "x", "read": "x" * (limit // 2)}, 60)  # more than is left beside sympy
        assert not worker.is_running()
        assert pool.run({"gold": "x+1", "read": "x+2"}, 60)["equal"] is False
        assert pool.started == 2
    finally:
        pool.close()


def test_the_shared_pool_uses_the_limit() -> None:
    assert shared_pool().memory == MEMORY == 2 << 30
