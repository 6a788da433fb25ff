"""Fixed points of the published scorers, as measured on them and listed in the surveys."""

from __future__ import annotations

import random

import pytest

from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import cflue, evalscope, finqa, hendrycks
from mmreason.suites.references import Reference


def says(scorer: Reference, output: str, gold: str, kind: AnswerKind = AnswerKind.MATH) -> bool:
    """The scorer's verdict on an output against a bare gold."""
    sample = Sample("x", Source("x", "test", "", "1"), (Message.of(Role.USER, "?"),), Answer(kind, gold))
    return bool(scorer.score(output, sample, random.Random(0)))


CFLUE = [
    ("答案：DCA", "DCA"),
    ("答案：a", "X"),
    ("答案：对", "X"),
    ("答案为B", "X"),
    ("答案：（B）", "X"),
    ("**答案：** B", "X"),
    (r"\boxed{B}", "X"),
    ("ABCD都对", "ABCD"),
    ("答案：A，答案：B", "A"),
    ("答案：A、C\n解析：答案：D", "AC"),
    ("答案是 B", "B"),
]


@pytest.mark.parametrize(("reply", "letters"), CFLUE)
def test_cflue_extractor(reply: str, letters: str) -> None:
    assert cflue.read_letters(reply) == letters


def test_cflue_scorers_differ_on_order_and_box() -> None:
    assert not says(cflue.extractor, "答案：DCA", "ACD")
    assert says(cflue.dianjin, r"\boxed{DCA}", "ACD")
    assert not says(cflue.dianjin, "答案：ACD", "ACD")
    assert not says(cflue.dianjin, r"\boxed{B. Asset-backed Commercial paper}", "B")
    assert says(cflue.dianjin, r"\boxed{A} or \boxed{B}", "B")


HENDRYCKS = [  # verdicts of the hard cases M1-M34 under the string rule; the marked ones differ from ours
    (r"\boxed{\frac{1}{2}}", "0.5", True),
    (r"\boxed{\dfrac{3}{4}}", r"\frac34", True),
    (r"\boxed{7} or \boxed{9}", "9", True),  # M6
    (r"\boxed{1728, 1331}", "1331, 1728", False),  # M8
    (r"\boxed{\{2,1\}}", r"\{1,2\}", False),  # M10
    (r"\boxed{x=5}", "5", True),
    (r"\boxed{1,000}", "1000", False),  # M14
    (r"\boxed{10{,}080}", "10080", False),  # M15
    (r"\boxed{12\text{ cm}}", "12", True),
    (r"\boxed{12\%}", "12", True),
    (r"\boxed{90^\circ}", "90", True),
    (r"\boxed{\text{13}}", "13", False),  # M20
    (r"\boxed{-\frac{1}{2}}", r"\frac{-1}{2}", False),  # M23
    (r"\boxed{x^2+2x+1}", "(x+1)^2", False),  # M24
    ("The answer is **73**", "73", False),  # M28
    (r"\boxed{}", "", True),  # M31
    (r"\boxed{5e3}", "5000", False),  # M32
    (r"\boxed{3\times10^{8}}", "300000000", False),  # M33
    (r"\boxed{1\frac{1}{2}}", r"\frac{3}{2}", False),  # M34
    (r"\boxed{1/2}", r"\frac{1}{2}", True),
]


@pytest.mark.parametrize(("output", "gold", "equal"), HENDRYCKS)
def test_math_string_rule(output: str, gold: str, equal: bool) -> None:
    assert says(hendrycks.verl, output, gold) is equal


def test_evalscope_number_rule_is_percent_lenient() -> None:
    assert says(evalscope.official, r"\boxed{5}", "500")  # M21
    assert says(evalscope.official, r"\boxed{(-\infty,3)}", r"(-\infty,3]")  # M11
    assert says(evalscope.official, r"\boxed{7} or \boxed{9}", "9")  # M6
    assert not says(evalscope.official, r"\boxed{6}", "500")


RNG = random.Random(0)


def _finqa(gold: str, program: str) -> Sample:
    table = [["", "2009"], ["a", "3"]]
    return Sample(
        id="finqa-1",
        source=Source("finqa", "val", "MIT", "1"),
        messages=(Message.of(Role.USER, "what is the ratio?"),),
        answer=Answer(AnswerKind.NUMBER, gold),
        evidence={"program": program, "table": table},
    )


def test_finqa_rules_on_a_sample() -> None:
    sample = _finqa("0.93464", "divide(93.464, 100)")
    block = "<think>so</think><answer>{}</answer>".format
    assert finqa.scalar.score(block(r"\boxed{0.93464}"), sample, RNG)
    assert not finqa.scalar.score(
        block(r"\boxed{0.9346}"), sample, RNG
    )  # strict rule N accepts it, the official does not
    assert finqa.execution.score(block("divide(93.464, 100)"), sample, RNG)
    assert finqa.execution.score(block(r"\boxed{0.93464}"), sample, RNG)
    assert finqa.program.score(block("divide(93.464, 100)"), sample, RNG)
    assert not finqa.program.score(block("multiply(93.464, 0.01)"), sample, RNG)
    assert not finqa.program.score(block(r"\boxed{0.93464}"), sample, RNG)
    assert finqa.scalar.score(block(r"\boxed{yes}"), _finqa("yes", "greater(2, 1)"), RNG)
    assert not finqa.scalar.score(block(""), _finqa("yes", "greater(2, 1)"), RNG)
