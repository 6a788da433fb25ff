"""Option letters, labels, spans and sets: hedges, disagreement, and letters that merely occur in a text."""

from __future__ import annotations

import pytest

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.choice import read_letters
from mmreason.rewards.extract import find_boxes, read_answer
from mmreason.rewards.grade import grade
from mmreason.rewards.judgement import FAMILIES, grade_judgement, read_label
from mmreason.rewards.text import items_of, overlap, token_f1

OPTIONS = {"A": "总资产", "B": "净利润", "C": "毛利率", "D": "净资产"}

LETTERS = [
    ("A good answer is C", None),  # an article is no letter
    ("A. 总资产 or B. 净利润", None),
    ("B. x or C. y", None),
    ("A/B", None),
    ("B 或 C", None),
    ("B.净资产", None),  # letter and text disagree
    ("E", None),  # no such option
    ("not B", None),
    ("None", None),
    ("B 净利润", "B"),
    ("净利润", "B"),
    ("答案：B", "B"),
    ("Option C", "C"),
    ("**B**", "B"),
    ("$B$", "B"),
    (r"B\text{. 净利润}", "B"),
    ("B。", "B"),
    ("A和C", "AC"),
    ("A and C", "AC"),
    ("(A)(B)", "AB"),
]


@pytest.mark.parametrize(("text", "letters"), LETTERS)
def test_letters(text: str, letters: str | None) -> None:
    found = read_letters(text, OPTIONS)
    assert (None if found is None else "".join(sorted(found))) == letters


def test_hedges_never_score() -> None:
    for letter in OPTIONS:
        answer = Answer(AnswerKind.CHOICE, letter, OPTIONS)
        for output in (r"\boxed{A or B}", r"\boxed{A}, \boxed{B}", r"\boxed{A}或\boxed{B}", r"\boxed{ABCD}"):
            assert grade(output, answer).score == 0.0
    assert grade(r"\boxed{A} or \boxed{A}", Answer(AnswerKind.CHOICE, "A", OPTIONS)).score == 1.0


def test_gold_without_options_and_bad_golds() -> None:
    assert grade(r"\boxed{B}", Answer(AnswerKind.CHOICE, "B")).outcome is Outcome.RIGHT
    assert grade(r"\boxed{B}", Answer(AnswerKind.CHOICE, "F", OPTIONS)).unread is Unread.GOLD
    assert grade("nothing", Answer(AnswerKind.CHOICE, "F", OPTIONS)).unread is Unread.GOLD


BOXES = [
    (r"\boxed{1} and \fbox{2}", ["1", "2"]),
    (r"\boxed{\boxed{5}}", ["5"]),
    (r"\boxed{\boxed{5}}\%", ["5%"]),
    (r"\boxed{\{1,2\}}", [r"\{1,2\}"]),
    (r"\boxed{\{1}", [r"\{1"]),
    (r"\boxed{42", []),
    (r"\boxed{a {b} c}", ["a {b} c"]),
    (r"{ \boxed{7}", ["7"]),
    (r"\boxed{1 \boxed{2} 3}", [r"1 \boxed{2} 3"]),
    (r"\boxed{9 \boxed{8}", ["8"]),
]


@pytest.mark.parametrize(("text", "contents"), BOXES)
def test_boxes(text: str, contents: list[str]) -> None:
    assert [box.content for box in find_boxes(text)] == contents


def test_deeply_nested_boxes_take_linear_time() -> None:
    assert [box.content for box in find_boxes(r"\boxed{" * 2000 + "5" + "}" * 2000)] == ["5"]


def test_reasoning_is_never_read() -> None:
    assert read_answer(r"<think>\boxed{5}").text is None
    assert read_answer(r"so \boxed{5}", opened_think=True).text is None
    assert read_answer(r"<think>\boxed{4}</think>\boxed{5}").text == "5"
    assert read_answer(r"<think><answer>\boxed{4}</answer></think>").text is None
    assert read_answer(r"<answer>\boxed{5").text is None
    assert read_answer("答案是：B。", lenient=True).text == "B"


LABELS = [
    ("没有违规", "合规"),
    ("该客服存在违规", "违规"),
    ("不存在违规行为", "合规"),
    ("违规，不是合规", "违规"),
    ("并非违规", None),  # a negation that the table does not know
    ("合规或违规", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "label"), LABELS)
def test_labels_keep_polarity(text: str, label: str | None) -> None:
    verdict = grade_judgement(text, Answer(AnswerKind.JUDGEMENT, "违规"))
    expected = {None: Outcome.UNREAD, "违规": Outcome.RIGHT, "合规": Outcome.WRONG}[label]
    assert verdict.outcome is expected, verdict


def test_own_aliases_replace_the_default_table() -> None:
    aliases = {"up": ["rise", "increase"], "down": ["fall", "no increase"]}
    assert read_label("No increase.", aliases) == "down"
    assert read_label("a rise", aliases) == "up"
    assert read_label("rise or fall", aliases) is None
    assert grade_judgement("up", Answer(AnswerKind.JUDGEMENT, "sideways", aliases=aliases)).unread is Unread.GOLD


def test_spans_and_sets() -> None:
    span = Answer(AnswerKind.SPAN, "the $1,496.5 million")
    assert grade("<answer>$1496.5 Million</answer>", span).outcome is Outcome.RIGHT
    assert grade("<answer>1,496.6 million</answer>", span).outcome is Outcome.WRONG
    types = Answer(AnswerKind.SET, '["fixed-price type", "cost-plus type"]')
    assert grade("<answer>cost-plus type; Fixed-price type</answer>", types).outcome is Outcome.RIGHT
    assert grade(r"<answer>\boxed{cost-plus type} \boxed{fixed-price type}</answer>", types).outcome is Outcome.RIGHT
    assert grade("<answer>cost-plus type</answer>", types).outcome is Outcome.WRONG
    assert items_of("$1,234, $5 and 7") == ["$1,234", "$5", "7"]


def test_overlap_by_characters_in_chinese() -> None:
    assert token_f1("净利润增", "净利润增长") == pytest.approx(8 / 9)
    assert token_f1("", "x") == 0.0
    assert 0 < overlap("revenue grew by 5%", "revenue grew by 6%") < 1


# (long answer, label read)
OPENINGS = [
    ("Yes, the man is seen walking from the left to the right side of the picture at all times.", "yes"),
    ("No. The picture shows a street with several people, and a car that stands there all the time.", "no"),
    ("Yes, there are several people in the picture, but no car can be seen there at any time at all.", None),
    ("Nobody would say that this is so, and a picture with so many people on it cannot show it well.", None),
    ("The man walks from the left to the right side of the picture at all times, so the answer is: yes", None),
]


@pytest.mark.parametrize(("text", "expected"), OPENINGS)
def test_a_long_text_states_the_label_that_it_opens_with(text: str, expected: str | None) -> None:
    assert read_label(text, FAMILIES[0]) == expected
