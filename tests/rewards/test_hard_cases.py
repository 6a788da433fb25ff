"""The hard cases M1-M40, N1-N29, C1-C24 and the X rows of our kinds, from the survey of open verifiers.

Rows are (origin, output, gold, expected score, what the item knows). X1-X8 (regression and OCR) and X14-X18 (TAT-QA's
own scorer) belong to kinds and scorers that this package does not have yet.
"""

from __future__ import annotations

from typing import Any

import pytest

from mmreason.records import Answer, AnswerKind, Unread
from mmreason.rewards.grade import grade
from mmreason.rewards.program import ProgramError, execute
from mmreason.rewards.text import overlap

LENIENT = {"M28", "M29"}

MATH: list[tuple[str, str, str, int]] = [
    ("M1", r"\boxed{\frac{1}{2}}", "0.5", 1),
    ("M2", r"\boxed{\dfrac{3}{4}}", r"\frac34", 1),
    ("M3", r"\boxed{\frac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}", 1),
    ("M4", r"First I thought \boxed{7}. Rechecking, \boxed{9}.", "9", 1),
    ("M5", r"First I thought \boxed{9}. Rechecking, \boxed{7}.", "9", 0),
    ("M6", r"\boxed{7} or \boxed{9}", "9", 0),
    ("M7", r"\boxed{1331}", "1331, 1728", 0),
    ("M8", r"\boxed{1728, 1331}", "1331, 1728", 1),
    ("M9", r"\boxed{(1,2)}", "(2,1)", 0),
    ("M10", r"\boxed{\{2,1\}}", r"\{1,2\}", 1),
    ("M11", r"\boxed{(-\infty,3)}", r"(-\infty,3]", 0),
    ("M12", r"\boxed{x<3}", r"(-\infty,3)", 0),
    ("M13", r"\boxed{x=5}", "5", 1),
    ("M14", r"\boxed{1,000}", "1000", 1),
    ("M15", r"\boxed{10{,}080}", "10080", 1),
    ("M16", r"\boxed{1.000}", "1000", 0),
    ("M17", r"\boxed{12\text{ cm}}", "12", 1),
    ("M18", r"\boxed{12\%}", "12", 1),
    ("M19", r"\boxed{90^\circ}", "90", 1),
    ("M20", r"\boxed{\text{13}}", "13", 1),
    ("M21", r"\boxed{5}", "500", 0),
    ("M22", r"\boxed{0.333}", r"\frac13", 0),
    ("M23", r"\boxed{-\frac{1}{2}}", r"\frac{-1}{2}", 1),
    ("M24", r"\boxed{x^2+2x+1}", "(x+1)^2", 1),
    ("M25", r"\boxed{2+\sqrt{3}}", r"2-\sqrt{3}", 0),
    ("M26", r"\boxed{\pm 2021}", "2021", 0),
    ("M27", r"\boxed{\frac{1}{2^{99}}}", r"\frac{1}{2^{98}}", 0),
    ("M28", "The answer is **73**", "73", 1),
    ("M29", "**Final Answer: 73**", "73", 1),
    ("M30", r"\boxed{42", "42", 0),
    ("M31", r"\boxed{}", "", 0),
    ("M32", r"\boxed{5e3}", "5000", 1),
    ("M33", r"\boxed{3\times10^{8}}", "300000000", 1),
    ("M34", r"\boxed{1\frac{1}{2}}", r"\frac{3}{2}", 1),
    ("M35", r"\boxed{\begin{pmatrix}1&2\\3&4\end{pmatrix}}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", 1),
    ("M36", r"\boxed{12:00}", "1:00", 0),
    ("M37", r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", 1),
    ("M38", r"\boxed{3x+4y+14=0}", "3x-y+13=0", 0),
    ("M39", r"\boxed{1010_2}", "1010_2", 1),
    ("M40", r"\boxed{10_{3}}", "10_{2}", 0),
]

NUMBERS: list[tuple[str, str, str, int, dict[str, Any]]] = [
    ("N1", r"\boxed{93.5\%}", "0.93464", 1, {}),
    ("N2", r"\boxed{93.5}\%", "0.93464", 1, {}),
    ("N3", r"\boxed{93.46}", "0.93464", 1, {"asks_percent": True}),
    ("N4", r"\boxed{0.9346}", "93.464%", 1, {}),
    ("N5", r"\boxed{94}", "0.93464", 0, {"asks_percent": True}),
    ("N6", r"\boxed{-3.2\%}", "0.032", 0, {}),
    ("N7", r"\boxed{(3.2\%)}", "-0.032", 1, {}),
    ("N8", r"\boxed{\$1,234.5 million}", "1234.5", 1, {"scale": "million"}),
    ("N9", r"\boxed{1.2345 billion}", "1234.5 million", 1, {}),
    ("N10", r"\boxed{1234500000}", "1234.5 million", 1, {}),
    ("N11", r"\boxed{380}", "380.0", 1, {}),
    ("N12", r"\boxed{3.8}", "380", 0, {}),
    ("N13", r"\boxed{1}", "100", 0, {}),
    ("N14", r"\boxed{yes}", "yes", 1, {}),
    ("N15", r"\boxed{Yes, revenue increased}", "yes", 1, {}),
    ("N16", r"\boxed{no}", "yes", 0, {}),
    ("N17", r"\boxed{It is not true that it rose: no}", "no", 1, {}),
    ("N18", r"\boxed{1}", "yes", 0, {}),
    ("N19", r"Increase from 2008 to 2009: \boxed{14.1}", "14.1", 1, {}),
    ("N20", "between 10 and 14.1", "14.1", 0, {}),
    ("N21", r"\boxed{25 bps}", "0.0025", 1, {}),
    ("N22", r"\boxed{2.5e-3}", "0.0025", 1, {}),
    ("N23", r"\boxed{－１２．５％}", "-0.125", 1, {}),
    ("N24", r"\boxed{1.2亿元}", "120000000", 1, {}),
    ("N25", r"\boxed{三千五百万元}", "35000000", 1, {}),
    ("N26", r"\boxed{百分之十二点五}", "0.125", 1, {}),
    ("N27", r"\boxed{二〇二四}", "2024", 1, {}),
    ("N28", r"\boxed{nan}", "0", 0, {}),
    ("N29", "\\boxed{\u22125}", "-5", 1, {}),
]

FOUR = {"A": "总资产", "B": "净利润", "C": "毛利率", "D": "净资产"}
PAPER = {"A": "Bond", "B": "Asset-backed Commercial paper", "C": "Share", "D": "Loan"}
RIGHT_WRONG = {"A": "对", "B": "错"}

CHOICES: list[tuple[str, str, str, int, dict[str, Any]]] = [
    ("C1", r"\boxed{B}", "B", 1, {"options": FOUR}),
    ("C2", r"\boxed{b}", "B", 1, {"options": FOUR}),
    ("C3", r"\boxed{(B)}", "B", 1, {"options": FOUR}),
    ("C4", r"\boxed{B. 净利润}", "B", 1, {"options": FOUR}),
    ("C5", r"\boxed{B. Asset-backed Commercial paper}", "B", 1, {"options": PAPER}),
    ("C6", r"\boxed{\text{B}}", "B", 1, {"options": FOUR}),
    ("C7", r"\boxed{Ｂ}", "B", 1, {"options": FOUR}),
    ("C8", r"\boxed{A or B}", "B", 0, {"options": FOUR}),
    ("C9", r"\boxed{ABCD}", "B", 0, {"options": FOUR}),
    ("C10", r"Both are wrong, so \boxed{C}", "C", 1, {"options": FOUR}),
    ("C11", r"<answer>\boxed{A}</answer> wait <answer>\boxed{B}</answer>", "B", 0, {"options": FOUR}),
    ("C12", r"\boxed{}", "", 0, {"options": FOUR}),
    ("C13", "The answer is B", "B", 0, {"options": FOUR}),
    ("C14", r"\boxed{A, C、D}", "ACD", 1, {"options": FOUR, "multi": True}),
    ("C15", r"\boxed{DCA}", "ACD", 1, {"options": FOUR, "multi": True}),
    ("C16", r"\boxed{A}\boxed{C}\boxed{D}", "ACD", 1, {"options": FOUR, "multi": True}),
    ("C17", r"\boxed{AC}", "ACD", 0, {"options": FOUR, "multi": True}),
    ("C18", r"\boxed{AACD}", "ACD", 1, {"options": FOUR, "multi": True}),
    ("C19", r"\boxed{对}", "A", 1, {"options": RIGHT_WRONG}),
    ("C20", r"\boxed{错误}", "B", 1, {"options": RIGHT_WRONG}),
    ("C21", r"\boxed{不正确}", "B", 1, {"options": RIGHT_WRONG}),
]
JUDGEMENTS = [
    ("C22", r"\boxed{不合规}", "违规", 1),
    ("C23", r"\boxed{合规}", "违规", 0),
    ("C24", r"\boxed{未发现违规}", "违规", 0),
]


def _in_block(output: str) -> str:
    return output if "<answer>" in output else f"<think>so</think>\n<answer>{output}</answer>"


@pytest.mark.parametrize(("origin", "output", "gold", "expected"), MATH, ids=[row[0] for row in MATH])
def test_math(origin: str, output: str, gold: str, expected: int) -> None:
    answer = Answer(AnswerKind.MATH, gold, asks_percent=origin == "M18")
    assert grade(output, answer, lenient=origin in LENIENT).score == expected


@pytest.mark.parametrize(("origin", "output", "gold", "expected", "known"), NUMBERS, ids=[row[0] for row in NUMBERS])
def test_numbers(origin: str, output: str, gold: str, expected: int, known: dict[str, Any]) -> None:
    answer = Answer(AnswerKind.NUMBER, gold, **known)
    assert grade(_in_block(output), answer).score == expected


@pytest.mark.parametrize(("origin", "output", "gold", "expected", "known"), CHOICES, ids=[row[0] for row in CHOICES])
def test_choices(origin: str, output: str, gold: str, expected: int, known: dict[str, Any]) -> None:
    text = output if origin == "C13" else _in_block(output)
    assert grade(text, Answer(AnswerKind.CHOICE, gold, **known)).score == expected


@pytest.mark.parametrize(("origin", "output", "gold", "expected"), JUDGEMENTS, ids=[row[0] for row in JUDGEMENTS])
def test_judgements(origin: str, output: str, gold: str, expected: int) -> None:
    assert grade(_in_block(output), Answer(AnswerKind.JUDGEMENT, gold)).score == expected


def test_unboxed_answers_count_only_in_lenient_mode() -> None:
    for output in ("The answer is **73**", "**Final Answer: 73**"):  # M28, M29
        assert grade(output, Answer(AnswerKind.MATH, "73")).unread is Unread.PREDICTION


def test_empty_gold_is_unread_not_wrong() -> None:
    for kind in (AnswerKind.MATH, AnswerKind.CHOICE, AnswerKind.NUMBER, AnswerKind.SPAN):  # M31, C12
        assert grade(r"\boxed{}", Answer(kind, "")).unread is Unread.GOLD
        assert grade(r"\boxed{B}", Answer(kind, "")).unread is Unread.GOLD


def test_free_text_overlap() -> None:
    assert overlap("cat", "cat") == 1.0  # X9
    assert overlap("净利润增长", "净利润增长") == 1.0  # X10
    assert overlap("revenue did rise", "revenue did not rise") <= 0.3  # X11
    assert overlap("", "") == 0.0  # the free-text twin of X8


def test_table_operation_on_a_step_is_invalid() -> None:
    with pytest.raises(ProgramError, match="takes a row name"):  # X19
        execute("table_max(a, none), table_sum(#0, none)", [["h", "1"], ["a", "2"]])
