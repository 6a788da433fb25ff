"""The workers behind symbolic comparison: deadline, memory, replacement; and the policies for mathematics."""

from __future__ import annotations

import time

import pytest

from mmreason.records import Answer, AnswerKind, Outcome
from mmreason.rewards.grade import grade
from mmreason.rewards.math_limits import refuse
from mmreason.rewards.math_pool import JobTimeout, Pool


def test_a_worker_past_its_deadline_is_killed_and_replaced() -> None:
    pool = Pool(1)
    try:
        assert pool.run({"gold": "x+1", "read": "1+x"}, 20)["equal"] is True
        start = time.monotonic()
        with pytest.raises(JobTimeout, match=r"0\.5 s"):
            pool.run({"gold": "3", "read": "9^{9^{9^9}}"}, 0.5)
        assert time.monotonic() - start < 3
        assert pool.run({"gold": "x+1", "read": "x+2"}, 20)["equal"] is False
        assert pool.started == 2
    finally:
        pool.close()


def test_ordinary_expressions_are_not_refused() -> None:
    for latex in (
        r"\frac{x^{2}+y^{2}}{z^{2}}",
        "2^{2^{3}}",
        r"e^{-x^{2}} + 3^{4} + 5^{6}",
        "10!",
        "x^{10} x^{10} x^{10}",
    ):
        assert refuse(latex) is None, latex


MATH = [
    (r"\frac{1}{2}x", "x/2", True),
    (r"\frac{1}{23}", r"\frac{12}{3}", False),  # braces carry meaning
    ("1,2", "(1,2)", False),
    ("(2,100)", "(2, 100)", True),
    ("(2,100)", "2100", False),
    (r"11,\!111,\!100", r"11,\! 111,\! 100", True),
    (r"11,\!111,\!100", "11111100", True),
    (r"(1,2)\cup(-\infty,0)", r"(-\infty,0) \cup (1,2)", True),
    (r"(1,2]\cup(-\infty,0)", r"(-\infty,0) \cup (1,2)", False),
    (r"1 \pm \sqrt{19}", r"1+\sqrt{19},1-\sqrt{19}", True),
    ("x=1 or x=2", "1,2", True),
    ("7 or 9", "9", False),
    ("9 or 7", "9", False),
    (r"x \in [-2,7]", "[-2,7]", True),
    (r"10\text{ cm}", r"10\text{ m}", False),
    (r"10\text{ cm}", "10", True),
    ("4.666667", r"\frac{14}{3}", True),
    ("4.6667", r"\frac{14}{3}", False),
    ("1.41421356", r"\sqrt{2}", True),
    ("1.414", r"\sqrt{2}", False),
    ("C", r"\text{(C)}", True),
    ("yes", r"\text{Yes}", True),
    (r"\text{odd}", r"\text{even}", False),
    (r"50\%", "50", False),  # the question does not ask for a percentage
    (r"50\%", r"\frac{1}{2}", True),
    ("2516", "2516_8", False),
    (r"\$32,348", "32348", True),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}", False),
    (r"\begin{pmatrix}-18\\-49\end{pmatrix}", r"\begin{pmatrix} -18 \\ -49 \end{pmatrix}", True),
]


@pytest.mark.parametrize(("read", "gold", "equal"), MATH)
def test_math_policies(read: str, gold: str, equal: bool) -> None:
    verdict = grade(rf"\boxed{{{read}}}", Answer(AnswerKind.MATH, gold))
    assert (verdict.outcome is Outcome.RIGHT) is equal, verdict
    assert verdict.unread is None
