"""The one definition of a right answer, for filtering, reward and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mmreason.records import Answer, AnswerKind, Unread, Verdict
from mmreason.rewards.box import grade_box
from mmreason.rewards.choice import grade_choice
from mmreason.rewards.extract import Reading, read_answer
from mmreason.rewards.judgement import grade_judgement
from mmreason.rewards.math_expr import grade_math
from mmreason.rewards.number import grade_number
from mmreason.rewards.ocr import grade_ocr
from mmreason.rewards.program import grade_program
from mmreason.rewards.regression import grade_regression
from mmreason.rewards.text import grade_free, grade_set, grade_span
from mmreason.rewards.times import grade_frames, grade_interval

LONGEST_ANSWER = 20_000
"""Characters of an answer that are still compared; a longer one is unread, so that no grader meets 10 MB."""
SHOWN = 200
"""Characters of such an answer that the verdict keeps."""

GRADERS: dict[AnswerKind, Callable[[str, Answer], Verdict]] = {
    AnswerKind.CHOICE: grade_choice,
    AnswerKind.NUMBER: grade_number,
    AnswerKind.JUDGEMENT: grade_judgement,
    AnswerKind.MATH: grade_math,
    AnswerKind.SPAN: grade_span,
    AnswerKind.SET: grade_set,
    AnswerKind.FREE: grade_free,
    AnswerKind.PROGRAM: grade_program,
    AnswerKind.INTERVAL: grade_interval,
    AnswerKind.BOX: grade_box,
    AnswerKind.FRAMES: grade_frames,
    AnswerKind.REGRESSION: grade_regression,
    AnswerKind.OCR: grade_ocr,
}


def unites_boxes(answer: Answer) -> bool:
    """Whether several boxes of one answer block are parts of one answer."""
    several = answer.kind is AnswerKind.CHOICE and len(answer.gold.strip()) > 1
    return answer.multi or several or answer.kind in (AnswerKind.SET, AnswerKind.FRAMES)


def read(text: str, answer: Answer, *, opened_think: bool = False, lenient: bool = False) -> Reading:
    """What of an output is graded; see `read_answer`."""
    return read_answer(text, multi=unites_boxes(answer), opened_think=opened_think, lenient=lenient)


def grade(
    text: str,
    answer: Answer,
    *,
    opened_think: bool = False,
    lenient: bool = False,
    table: list[list[str]] | None = None,
) -> Verdict:
    """Grade an output: read the answer after the reasoning, compare by kind.

    `opened_think`: the chat template wrote the opening think tag. `lenient`: also read untagged outputs, see
    `read_answer`. `table`: rows of strings, needed by programs with table operations. A gold that cannot be read gives
    `Unread.GOLD` whatever the output says, so that the whole group is dropped and not only some samples of it.
    """
    reading = read(text, answer, opened_think=opened_think, lenient=lenient)
    if reading.text is None or reading.hedged:
        bad_gold = gold_fault(answer, table)
        if bad_gold is not None:
            return replace(bad_gold, read=reading.text)
        if reading.text is None:
            return Verdict.no_read(Unread.PREDICTION, reading.why)
        return Verdict.wrong(reading.text, reading.why)
    return grade_read(reading.text, answer, table)


def grade_read(read: str, answer: Answer, table: list[list[str]] | None = None) -> Verdict:
    """Compare an answer that was already cut out of an output."""
    if len(read) > LONGEST_ANSWER:
        bad_gold = gold_fault(answer, table)
        why = f"an answer of {len(read)} characters, at most {LONGEST_ANSWER} are compared"
        return bad_gold or Verdict.no_read(Unread.PREDICTION, why, read[:SHOWN])
    if answer.kind is AnswerKind.PROGRAM:
        return grade_program(read, answer, table)
    return GRADERS[answer.kind](read, answer)


def gold_fault(answer: Answer, table: list[list[str]] | None = None) -> Verdict | None:
    """The verdict `Unread.GOLD` if the gold itself cannot be read, else None: graded against itself it must parse."""
    if len(answer.gold) > LONGEST_ANSWER:
        return Verdict.no_read(Unread.GOLD, f"a gold of {len(answer.gold)} characters, at most {LONGEST_ANSWER}")
    verdict = grade_read(answer.gold or " ", answer, table)
    return verdict if verdict.unread is Unread.GOLD else None
