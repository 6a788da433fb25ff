"""TAT-QA: one sample a question. Released (a JSON array) and compact (one document a line) share their fields.

`evidence["answer"]` is the answer as released, which the set's own scorer takes together with the scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, describe, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

tables = load_module(Path(__file__).parent / "report_tables.py")

SCALES = ("", "thousand", "million", "billion", "percent")


def _answer(question: Row) -> Answer:
    """Arithmetic and count: a number in units of the scale. Percent golds carry their sign instead of a scale."""
    kind, scale, value = question.need("answer_type", str), question.need("scale", str), question.values.get("answer")
    if scale not in SCALES:
        question.fail(f"scale {scale!r} is none of {', '.join(SCALES)}")
    if kind in ("arithmetic", "count"):
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            question.fail(f"answer is {describe(value)}, expected a number for {kind}")
        if scale == "percent":
            return Answer(AnswerKind.NUMBER, f"{value}%", asks_percent=True)
        return Answer(AnswerKind.NUMBER, str(value), scale=scale)
    if kind not in ("span", "multi-span"):
        question.fail(f"answer_type {kind!r} is none of arithmetic, count, span, multi-span")
    items = question.texts("answer") if isinstance(value, list) else [question.need("answer", str)]
    if kind == "span" and len(items) == 1:
        return Answer(AnswerKind.SPAN, items[0], scale=scale)
    return Answer(AnswerKind.SET, json.dumps(items, ensure_ascii=False), scale=scale)


def _evidence(question: Row) -> dict[str, Any]:
    kept = ("derivation", "answer_from", "rel_paragraphs", "facts", "mapping")
    return {"answer": question.values["answer"]} | {
        key: question.values[key] for key in kept if question.values.get(key)
    }


def _samples(row: Row, request: ReadRequest, style: str) -> Iterator[Sample]:
    table = row.inner("table")
    cells, document = table.table("table"), table.need("uid", str)
    paragraphs = sorted(row.inners("paragraphs"), key=lambda paragraph: paragraph.need("order", int))
    texts = [paragraph.need("text", str) for paragraph in paragraphs]
    context = "\n".join([tables.render(cells, style), *texts])
    for question in row.inners("questions"):
        identity, asked = question.need("uid", str), question.need("question", str)
        yield Sample(
            id=f"{request.name}-{identity}",
            source=Source("tatqa", request.split, request.entry.licence, identity, document),
            messages=(Message.of(Role.USER, f"{context}\n{asked}"),),
            answer=_answer(question),
            evidence=_evidence(question),
            metadata={
                "question": asked,
                "answer_type": question.need("answer_type", str),
                "scale": question.need("scale", str),
                "table": style,
            },
        )


def tatqa(request: ReadRequest) -> Iterator[Sample]:
    """Option: table (markdown or sentences)."""
    style = take_options(request, table=("markdown", "sentences"))["table"]
    for path in request.files:
        for row in read_rows(path):
            yield from _samples(row, request, style)
