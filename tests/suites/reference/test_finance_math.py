"""Public rules for mathematics: verdicts as the originals give them on the hard rows of the survey and beyond."""

from __future__ import annotations

import random

import pytest

from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.suites.reference import evalscope, gsm8k, hendrycks, minerva, prm800k
from mmreason.suites.reference.latex_text import NoTextError, plain
from mmreason.suites.reference.symbols import NoSymbolsError, expression
from mmreason.suites.references import Reference


def says(scorer: Reference, output: str, gold: str) -> bool:
    sample = Sample("m", Source("m", "test", "", "1"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.MATH, gold))
    return bool(scorer.score(output, sample, random.Random(0)))


ROWS = [  # (box, gold, PRM800K, EvalScope) as the originals say
    (r"\frac{1}{2}", "0.5", True, True),
    (r"\dfrac{3}{4}", r"\frac34", True, True),
    (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt{3}}{2}", True, True),
    ("1331", "1331, 1728", False, False),
    ("1728, 1331", "1331, 1728", False, True),
    ("(1,2)", "(2,1)", False, False),
    (r"(-\infty,3)", r"(-\infty,3]", False, True),
    ("x=5", "5", True, True),
    ("1,000", "1000", True, True),
    ("10{,}080", "10080", True, True),
    ("1.000", "1000", False, False),
    (r"12\text{ cm}", "12", True, True),
    (r"12\%", "12", True, True),
    (r"90^\circ", "90", True, True),
    (r"\text{13}", "13", True, True),
    ("5", "500", False, True),
    ("0.333", r"\frac13", False, False),
    (r"-\frac{1}{2}", r"\frac{-1}{2}", True, True),
    ("x^2+2x+1", "(x+1)^2", True, True),
    (r"2+\sqrt{3}", r"2-\sqrt{3}", False, False),
    (r"\pm 2021", "2021", False, False),
    ("", "", True, True),
    (r"3\times10^{8}", "300000000", False, True),
    (r"1\frac{1}{2}", r"\frac{3}{2}", True, True),
    ("12:00", "1:00", False, True),
    (r"\text{Evelyn}", r"\text{Evelyn}", True, True),
    ("3x+4y+14=0", "3x-y+13=0", False, False),
    ("para", "parameter", True, False),
    ("Mon", "Monday", True, False),
    ("3 million", "3000000", False, False),
    (r"\frac{4}{8}", "1/2", False, True),
    (r"\sqrt{8}", r"2\sqrt{2}", True, True),
]


@pytest.mark.parametrize(("box", "gold", "prm", "scope"), ROWS)
def test_rows_of_the_survey(box: str, gold: str, prm: bool, scope: bool) -> None:
    output = f"\\boxed{{{box}}}"
    assert (says(prm800k.official, output, gold), says(evalscope.official, output, gold)) == (prm, scope)


def test_lm_eval_takes_what_stands_between_the_outer_dollars() -> None:
    assert says(hendrycks.lm_eval, "$5$", "5") and says(hendrycks.lm_eval, "5", "5")
    assert not says(hendrycks.lm_eval, "so $x=2$ and $\\boxed{5}$", "5")  # chat models score 0
    assert not says(hendrycks.lm_eval, r"\boxed{5}", "5")
    assert says(hendrycks.lm_eval_aime, "so $x=2$ and $\\boxed{5}$", "5")
    assert says(hendrycks.verl, r"\boxed{x=-3./2}", "-3./2")  # lm-eval's form stops at such a slash
    assert not says(hendrycks.lm_eval_aime, r"\boxed{x=-3./2}", "-3./2")


def test_minerva_needs_its_anchor() -> None:
    anchor = "Final Answer: The final answer is ${}$. I hope it is correct.".format
    assert says(minerva.exact_match, anchor("2"), "2") and says(minerva.exact_match, anchor("x+1"), "1+x")
    assert says(minerva.exact_match, anchor(r"\frac12"), "0.5")
    assert not says(minerva.exact_match, r"\boxed{2}", "2")
    assert not says(minerva.exact_match, anchor("(1,2)"), "(1,2)")  # equal texts that sympy cannot read


GSM8K = [  # (output, gold, ####, flexible)
    ("so\n#### 1,000", "1000", True, True),
    ("#### $5", "5", False, True),
    ("it is 18.", "18", False, True),
    ("18 of 20", "18", False, False),
    ("#### 5 then 6", "5", True, False),
    ("nothing", "5", False, False),
    ("-3", "-3", False, True),
    ("#### 5.", "5", True, True),
]


@pytest.mark.parametrize(("output", "gold", "strict", "flexible"), GSM8K)
def test_gsm8k(output: str, gold: str, strict: bool, flexible: bool) -> None:
    assert (says(gsm8k.strict_match, output, gold), says(gsm8k.flexible_extract, output, gold)) == (strict, flexible)


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{x+1}{2}", "x+1/2"),
        (r"2\sqrt{3x}", "2√(3x)"),
        (r"\sqrt[3]{5}", "√(5)"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[ 1 2; 3 4 ]"),
        (r"\left[0,1\right)", "[0,1)"),
        (r"\foo{3}\pi", "3π"),
    ],
)
def test_latex_as_text(latex: str, text: str) -> None:
    assert plain(latex) == text


def test_answers_are_never_executed() -> None:
    with pytest.raises(NoTextError):
        plain(r"\sqrt")
    for text in ("__import__('os').getcwd()", "open('x')", "lambda: 1", "9**9**9", "factorial(99999)", "x.y"):
        with pytest.raises((NoSymbolsError, TypeError)):
            expression(text)
    assert str(expression("2x(x+1)".replace("x(", "*x*("), implicit=True)) == "2*x*(x + 1)"
