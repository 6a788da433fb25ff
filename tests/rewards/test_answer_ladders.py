"""What is read of a multiple-choice output: our strict reading, and the ladder for models without tags (`lenient`).

The two sheets on benchmarks state such a ladder; where they agree `lenient` is it. Where they differ from each other
or from the survey of verifiers:
- a single stand-alone letter somewhere in the text (video 6.1) is not read: the medical sheet has no such step, and
  with ten options it takes the article "A" and the pronoun "I" for answers;
- a letter with more words behind it ("the answer is C because ...") needs a mark or brackets;
- an answer that stands in no tag at all is unread in strict reading (survey, C13), and so are two answer blocks (C11),
  of which `lenient` takes the last.
"""

from __future__ import annotations

import pytest

from mmreason.records import Answer, AnswerKind, Outcome
from mmreason.rewards.choice import read_letters
from mmreason.rewards.extract import read_answer
from mmreason.rewards.grade import grade

FOUR = {"A": "aspirin", "B": "heparin", "C": "warfarin", "D": "none of the above"}
TEN = {letter: f"drug {number}" for number, letter in enumerate("ABCDEFGHIJ")}


def letters(output: str, options: dict[str, str], lenient: bool, multi: bool = False) -> str:
    """The letters that are read, "" for unread."""
    reading = read_answer(output, multi=multi, lenient=lenient)
    if reading.text is None or reading.hedged:
        return ""
    said = [read_letters(line, options) for line in reading.text.splitlines()] if multi else []
    if multi:
        return "".join(sorted(frozenset().union(*(found or () for found in said))))
    return "".join(sorted(read_letters(reading.text, options) or ""))


VIDEO = [  # section 6.2 of the video sheet, gold C, options A-D: (prediction, strict, lenient)
    ("C", "", "C"),
    ("c", "", "C"),
    ("C.", "", "C"),
    ("(C)", "", "C"),
    ("C) red", "", "C"),
    ("C. the red one", "", "C"),
    ("", "", ""),
    ("(", "", ""),
    (")", "", ""),
    ("Answer: C", "", "C"),
    ("The answer is C", "", "C"),
    ("The answer is (C).", "", "C"),
    ("Therefore, the final answer is: C", "", "C"),
    ("Option C", "", "C"),
    ("Based on the video, the answer is C.", "", "C"),
    ("A person walks, so the answer is C", "", "C"),
    ("<think>Maybe A. No.</think><answer>C</answer>", "C", "C"),
    ("<answer>C</answer>", "C", "C"),
    (r"\boxed{C}", "C", "C"),
    ("**C**", "", "C"),
    ("I cannot tell", "", ""),
    ("E", "", ""),
    ("A or C", "", ""),
    ("C\nBecause A is wrong", "", ""),
]


@pytest.mark.parametrize(("output", "strict", "lenient"), VIDEO)
def test_video_rows(output: str, strict: str, lenient: str) -> None:
    assert letters(output, FOUR, lenient=False) == strict
    assert letters(output, FOUR, lenient=True) == lenient


MEDICAL = [  # the forty outputs of section 10 of the medical text sheet: (point, output, options, strict, lenient)
    ("tag", "<think>so</think><answer>B</answer>", FOUR, "B", "B"),
    ("tag with box", r"<think>so</think><answer>\boxed{B}</answer>", FOUR, "B", "B"),
    ("tag with letter and text", "<answer>B. heparin</answer>", FOUR, "B", "B"),
    ("tag with spaces", "<answer>\n B \n</answer>", FOUR, "B", "B"),
    ("two tags", "<answer>A</answer> no, <answer>B</answer>", FOUR, "", "B"),
    ("two tags, first right", "<answer>B</answer> no, <answer>A</answer>", FOUR, "", "A"),
    ("two equal tags", "<answer>B</answer><answer>B</answer>", FOUR, "", "B"),
    ("tag inside think only", "<think><answer>B</answer></think>", FOUR, "", ""),
    ("tag inside think, another after", "<think><answer>A</answer></think><answer>B</answer>", FOUR, "B", "B"),
    ("tag inside think, phrase after", "<think><answer>A</answer></think>The answer is B.", FOUR, "", "B"),
    ("boxed", r"So \boxed{B}.", FOUR, "B", "B"),
    ("boxed with text wrapper", r"\boxed{\text{B}}", FOUR, "B", "B"),
    ("boxed twice, last counts", r"\boxed{A} is tempting but \boxed{B} fits.", FOUR, "B", "B"),
    ("boxed hedge", r"\boxed{B} or \boxed{C}", FOUR, "", ""),
    ("answer is B or C", "The answer is B or C", FOUR, "", ""),
    ("answer is B or C, in a tag", "<answer>B or C</answer>", FOUR, "", ""),
    ("answer is both", "The answer is B and C", FOUR, "", "BC"),  # two letters: wrong on a single-answer item
    ("letter and text disagree", "<answer>B. warfarin</answer>", FOUR, "", ""),
    ("letter and text disagree, phrase", "The answer is B. warfarin", FOUR, "", ""),
    ("letter with unknown text", "<answer>B. a blood thinner</answer>", FOUR, "B", "B"),
    ("option text only", "<answer>Heparin</answer>", FOUR, "B", "B"),
    ("option text only, untagged", "heparin.", FOUR, "", "B"),
    ("part of an option's text", "<answer>none</answer>", FOUR, "", ""),
    ("lower-case letter", "<answer>b</answer>", FOUR, "B", "B"),
    ("lower-case letter, untagged", "b", FOUR, "", "B"),
    ("full-width letter", "<answer>\uff22</answer>", FOUR, "B", "B"),
    ("full-width letter, mark and text", "<answer>\uff22\uff0eheparin</answer>", FOUR, "B", "B"),
    ("article A", "A clot is likely.", TEN, "", ""),
    ("article A in a tag", "<answer>A clot is likely</answer>", TEN, "", ""),
    ("pronoun I", "I think the patient should rest.", TEN, "", ""),
    ("pronoun I in a tag", "<answer>I am not sure</answer>", TEN, "", ""),
    ("letter I as answer", "<answer>I</answer>", TEN, "I", "I"),
    ("empty", "", FOUR, "", ""),
    ("empty tag", "<answer></answer>", FOUR, "", ""),
    ("truncated in think", "<think>It must be B", FOUR, "", ""),
    ("truncated in the tag", "<think>so</think><answer>B", FOUR, "", ""),
    ("wrong-range letter", "<answer>F</answer>", FOUR, "", ""),
    ("Chinese sentence", "所以答案是 B。", FOUR, "", "B"),
    ("JSON answer", '{"step_by_step_thinking": "so", "answer_choice": "B"}', FOUR, "", ""),
    ("last line is the letter", "Heparin acts fast.\nSo:\n(B)", FOUR, "", "B"),
]


def test_the_fixture_has_forty_outputs() -> None:
    assert len(MEDICAL) == 40


@pytest.mark.parametrize(("point", "output", "options", "strict", "lenient"), MEDICAL, ids=[row[0] for row in MEDICAL])
def test_medical_rows(point: str, output: str, options: dict[str, str], strict: str, lenient: str) -> None:
    assert letters(output, options, lenient=False) == strict
    assert letters(output, options, lenient=True) == lenient


def test_multi_answer_items_in_two_orders() -> None:
    answer = Answer(AnswerKind.CHOICE, "BD", FOUR, multi=True)
    for block in ("BD", "DB", "D, B", "B、D", r"\boxed{D}\boxed{B}"):
        assert grade(f"<think>so</think><answer>{block}</answer>", answer).outcome is Outcome.RIGHT, block
    assert grade("The answer is DB", answer, lenient=True).outcome is Outcome.RIGHT
    assert grade("<answer>B</answer>", answer).outcome is Outcome.WRONG


def test_the_lenient_ladder_takes_one_line_and_no_more() -> None:
    assert read_answer("12.5%", lenient=True).text == "12.5%"
    assert read_answer("3.2s to 7.5s", lenient=True).text == "3.2s to 7.5s"
    assert read_answer("First this.\nThen that.", lenient=True).text is None
    assert read_answer("x" * 500, lenient=True).text is None
    assert read_answer(r"\boxed{B", lenient=True).text is None
