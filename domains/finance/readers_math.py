"""MATH-500 and GSM8K, as released and in the compact form {id, problem, answer, solution}."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

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
