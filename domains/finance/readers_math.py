"""Mathematics with final answers: MATH-500, GSM8K, AIME, AMC and Minerva, as released and in the compact form
{id, problem, answer, solution}."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.extract import find_boxes

FINAL = "####"
"""What stands before the final answer in a released GSM8K solution."""


def _sample(request: ReadRequest, identity: str, problem: str, answer: Answer, solution: str, **extra: Any) -> Sample:
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source(request.name.removesuffix("_released"), request.split, request.entry.licence, identity),
        messages=(Message.of(Role.USER, problem),),
        answer=answer,
        evidence={"solution": solution},
        metadata={"question": problem, **extra},
    )


def math500(request: ReadRequest) -> Iterator[Sample]:
    """{problem, answer, solution, subject, level, unique_id}, with or without an id of its own."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            identity = row.fill("id", str, "") or row.need("unique_id", str)
            answer = Answer(AnswerKind.MATH, row.need("answer", str))
            extra = {key: row.values[key] for key in ("subject", "level", "unique_id") if key in row.values}
            yield _sample(request, identity, row.need("problem", str), answer, row.fill("solution", str, ""), **extra)


def _gsm8k_gold(row: Row) -> tuple[str, str]:
    """(gold, solution): the released answer is the solution with the gold after '####'."""
    text = row.need("answer", str)
    if "problem" in row.values:
        return text, row.fill("solution", str, "")
    solution, mark, gold = text.rpartition(FINAL)
    if not mark:
        row.fail(f"answer has no {FINAL!r} before the final number")
    return gold.strip(), solution.strip()


def gsm8k(request: ReadRequest) -> Iterator[Sample]:
    """Released {question, answer} or compact {id, problem, answer, solution}."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            gold, solution = _gsm8k_gold(row)
            problem = row.need("problem" if "problem" in row.values else "question", str)
            identity = row.fill("id", str, f"{request.split}-{row.line:05d}")
            yield _sample(request, identity, problem, Answer(AnswerKind.NUMBER, gold), solution)


def _final(row: Row) -> str:
    """The final answer: the field of that name, a whole number without ".0", else the last box of the solution."""
    value = row.values.get("answer")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    boxes = find_boxes(row.need("solution", str))
    return boxes[-1].content.strip() if boxes else ""


def contest(request: ReadRequest) -> Iterator[Sample | Drop]:
    """AIME, AMC and Minerva: {problem, answer} or {problem, solution} with the answer in its last box.

    Ids are the released `id` or `idx`, else the place. Rows without a final answer leave as drops.
    """
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            identity = str(next((row.values[key] for key in ("id", "idx") if key in row.values), row.line - 1))
            gold = _final(row)
            if not gold:
                yield Drop(f"{request.name}-{identity}", "read", "no_final_answer", "", row.values)
                continue
            extra = {key: row.values[key] for key in ("type",) if key in row.values}
            solution = row.fill("solution", str, "")
            yield _sample(request, identity, row.need("problem", str), Answer(AnswerKind.MATH, gold), solution, **extra)
