"""Multiple choice: CFLUE, FinEval (text and candlestick charts) and GPQA."""

from __future__ import annotations

import ast
import hashlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmreason.data.lines import Row, describe, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.suites.reference import gpqa as toolkits

MULTI, TRUE_FALSE = "多项选择题", "判断题"
LETTERS = "ABCD"
_LONGEST_CHOICES = 20_000


def _choices(row: Row) -> dict[str, str]:
    """Letter -> text; the released CFLUE holds them as a string with a Python dictionary literal."""
    value = row.values.get("choices")
    if isinstance(value, str) and len(value) <= _LONGEST_CHOICES:
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            row.fail(f"choices is {describe(value)}, expected a dictionary literal of letter and text")
    if not isinstance(value, dict) or not all(isinstance(text, str | int | float) for text in value.values()):
        row.fail(f"choices is {describe(value)}, expected letter -> text")
    return {str(letter): str(text) for letter, text in value.items()}


def _choice(
    row: Row, request: ReadRequest, identity: str, answer: Answer, extra: dict[str, Any], shown: str = ""
) -> Sample | Drop:
    """A choice sample; letters that are no options make a drop."""
    question = row.need("question", str).strip()
    name, unknown = f"{request.name}-{identity}", set(answer.gold) - set(answer.options)
    if answer.kind is AnswerKind.CHOICE and (unknown or not answer.gold):
        return Drop(name, "read", "answer_not_in_options", f"{answer.gold!r} of {list(answer.options)}", row.values)
    explanation = row.values.get("analysis") or row.values.get("explanation")
    return Sample(
        id=name,
        source=Source(request.name.removesuffix("_released"), request.split, request.entry.licence, identity),
        messages=(Message.of(Role.USER, shown or question),),
        answer=answer,
        evidence={"explanation": explanation} if explanation and explanation != "略" else {},
        metadata={"question": question, **extra},
    )


def _letters(row: Row) -> str:
    return "".join(sorted(set(row.need("answer", str)) - set(" ,;、，；")))


def cflue(request: ReadRequest) -> Iterator[Sample | Drop]:
    """CFLUE knowledge: single, multiple and true/false questions; rows without an id are numbered."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            task, exam = row.need("task", str), row.need("名称", str)
            gold, identity = _letters(row), row.fill("id", str, f"{path.name.partition('.')[0]}-{row.line:05d}")
            answer = Answer(AnswerKind.CHOICE, gold, _choices(row), multi=task == MULTI, lang="zh")
            yield _choice(row, request, identity, answer, {"task": task, "exam": exam})


def _fineval_choices(row: Row) -> dict[str, str]:
    return _choices(row) if "choices" in row.values else {letter: row.need(letter, str) for letter in LETTERS}


def fineval(request: ReadRequest) -> Iterator[Sample | Drop]:
    """FinEval academic knowledge: {id, subject, question, choices, answer, explanation}, or the released CSV files
    with columns id, question, A to D, answer, named <subject>_<split>.csv."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            subject = row.fill("subject", str, path.stem.removesuffix(f"_{request.split}"))
            number = row.need("id", str)
            identity = number if "subject" in row.values else f"{subject}-{request.split}-{number}"
            answer = Answer(AnswerKind.CHOICE, _letters(row), _fineval_choices(row), lang="zh")
            yield _choice(row, request, identity, answer, {"subject": subject})


def _chart(row: Row, request: ReadRequest) -> MediaRef:
    if request.root is None:
        raise UserError(f"source {request.name}: images need a data folder; give one with --data")
    beside = row.path.parent.resolve().relative_to(request.root)
    try:
        return media_ref(request.root, str(beside / row.need("image", str)))
    except UserError as error:
        row.fail(str(error))


def _chart_answer(row: Row) -> Answer:
    options = _choices(row)
    if options:
        gold = _letters(row)
        return Answer(AnswerKind.CHOICE, gold, options, multi=len(gold) > 1, lang="zh")
    return Answer(AnswerKind.JUDGEMENT, row.need("answer", str), lang="zh")


def candlestick(request: ReadRequest) -> Iterator[Sample | Drop]:
    """FinEval questions on one chart each; rows without choices are yes/no questions (是/否).

    Ids name a dialogue about one chart and repeat for its turns, so the turn is added to them.
    """
    take_options(request)
    turns: Counter[str] = Counter()
    for path in request.files:
        for row in read_rows(path):
            dialogue = row.need("id", str)
            chart, identity = _chart(row, request), f"{dialogue}-{turns[dialogue]}"
            turns[dialogue] += 1
            question, background = row.need("question", str).strip(), row.fill("background", str, "").strip()
            source = Source(request.name, request.split, request.entry.licence, identity, row.need("source_image", str))
            yield Sample(
                id=f"{request.name}-{identity}",
                source=source,
                messages=(Message.of(Role.USER, f"{background}\n{question}".strip(), images=1),),
                answer=_chart_answer(row),
                media=(chart,),
                metadata={"question": question, "task": row.need("task", str)},
            )


def permutation(question: str, repeat: int) -> list[int]:
    """Order of (correct, incorrect 1-3) for one repeat: from SHA-256 of question and repeat, so that it depends
    neither on the order of the data set nor on other items."""
    digest = hashlib.sha256(f"{question}\0{repeat}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big")).sample(range(4), 4)


def _orders(questions: list[str], order: str, repeats: int) -> list[list[list[int]]]:
    """For each question, its order of (correct, incorrect 1-3) in each repeat."""
    if order == "simple_evals":
        stream = toolkits.simple_evals_orders(len(questions), repeats)
        return [stream[place :: len(questions)] for place in range(len(questions))]
    if order == "evalscope":  # its list has the correct answer last
        return [[[(place + 1) % 4 for place in toolkits.evalscope_order(q)]] * repeats for q in questions]
    return [[permutation(question, repeat) for repeat in range(repeats)] for question in questions]


def _gpqa_sample(row: Row, request: ReadRequest, texts: list[str], repeat: int, order: list[int]) -> Sample:
    question = row.need("Question", str).strip()
    identity = row.fill("Record ID", str, hashlib.sha256(question.encode()).hexdigest()[:12])
    options = {letter: texts[place] for letter, place in zip(LETTERS, order, strict=True)}
    domain = {"domain": row.fill("High-level domain", str, "")} if "High-level domain" in row.values else {}
    return Sample(
        id=f"{request.name}-{identity}-r{repeat}",
        source=Source("gpqa", request.split, request.entry.licence, identity, document=f"gpqa-{identity}"),
        messages=(Message.of(Role.USER, question),),
        answer=Answer(AnswerKind.CHOICE, LETTERS[order.index(0)], options),
        metadata={"question": question, "repeat": repeat, "permutation": order, **domain},
    )


def gpqa(request: ReadRequest) -> Iterator[Sample]:
    """GPQA-shaped rows (CSV or JSONL). Options: repeats, each with an order of options of its own, kept in metadata;
    order (hashed: ours, from the question alone; simple_evals and evalscope: as those toolkits put them)."""
    options = take_options(request, repeats=1, order=("hashed", "simple_evals", "evalscope"))
    fields = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    rows = [row for path in request.files for row in read_rows(path)]
    orders = _orders([row.need("Question", str) for row in rows], options["order"], options["repeats"])
    for row, own in zip(rows, orders, strict=True):
        texts = [row.need(field, str).strip() for field in fields]
        yield from (_gpqa_sample(row, request, texts, repeat, order) for repeat, order in enumerate(own))
