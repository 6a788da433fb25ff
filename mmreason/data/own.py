"""Your own questions: one JSON object a line, no Python needed. Reader reference: mmreason.data.own:read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row, describe, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.media.files import media_ref
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source

FIELDS = {
    "id": "text or whole number, unique in the file",
    "question": "text",
    "answer": "text, number, or a list of them",
    "kind": "one of AnswerKind; default: choice with options, number for a number, else free",
    "options": "list of texts, or letter -> text",
    "multi": "several letters may be right; default: the answer has several",
    "images": "list of paths relative to the rows file",
    "lang": "language code; default: zh for text with Chinese characters, else en",
    "document": "what the row was cut from; rows of one document never straddle train and test",
    "split": "rows of another split than the one asked for are passed over",
    "scale": "scale word for bare numbers, such as million",
    "aliases": "label -> accepted wordings, for judgements",
}
_NUMBER = re.compile(r"\s*[-+]?[$\u20ac\u00a3\u00a5]?\s*[-+]?(\d[\d,]*(\.\d+)?|\.\d+)\s*%?\s*")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ONLY = {
    "options": (AnswerKind.CHOICE,),
    "multi": (AnswerKind.CHOICE,),
    "aliases": (AnswerKind.JUDGEMENT,),
    "scale": (AnswerKind.NUMBER, AnswerKind.SPAN, AnswerKind.SET),
}
"""Fields that mean nothing beside another kind; they are refused there, not ignored."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _options(row: Row) -> dict[str, str]:
    value = row.values.get("options")
    if value is None:
        return {}
    if isinstance(value, list):
        value = dict(zip(_LETTERS, row.texts("options"), strict=False))
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        row.fail(f"field 'options' is {describe(value)}, expected a list of texts or letter -> text")
    wrong = [letter for letter in value if letter not in _LETTERS or len(letter) != 1]
    if wrong or len(value) < 2:
        row.fail(f"options {list(value)}: expected at least two, named by single capital letters")
    return value


def _answers(row: Row) -> list[str]:
    """The gold as texts; a single value is a list of one."""
    if "answer" not in row.values:
        row.fail(f"no field 'answer'{nearest('answer', row.values)}")
    value = row.values["answer"]
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
        row.fail(f"field 'answer' is {describe(value)}, expected {FIELDS['answer']}")
    texts = [str(item).strip() for item in items]
    if not all(texts):
        row.fail("field 'answer' is empty")
    return texts


def _letters(row: Row, answers: list[str], options: dict[str, str]) -> str:
    letters = sorted(set("".join(answers).replace(",", "").replace(" ", "")))
    unknown = [letter for letter in letters if letter not in options]
    if unknown:
        row.fail(f"answer {unknown[0]!r} is no option, expected letters of {', '.join(options)}")
    return "".join(letters)


def _kind(row: Row, answers: list[str], options: dict[str, str]) -> AnswerKind:
    named = row.fill("kind", str, "")
    if named:
        kinds = [kind.value for kind in AnswerKind]
        if named not in kinds:
            row.fail(f"kind {named!r} is unknown{nearest(named, kinds)}")
        if named == AnswerKind.CHOICE and not options:
            row.fail("kind 'choice' needs the field 'options'")
        return AnswerKind(named)
    if options:
        return AnswerKind.CHOICE
    if len(answers) > 1:
        return AnswerKind.SET
    return AnswerKind.NUMBER if _NUMBER.fullmatch(answers[0]) else AnswerKind.FREE


def _aliases(row: Row) -> dict[str, list[str]]:
    value: dict[str, Any] = row.fill("aliases", dict, {})
    for label, wordings in value.items():
        if not isinstance(wordings, list) or not all(isinstance(wording, str) for wording in wordings):
            row.fail(f"aliases[{label!r}] is {describe(wordings)}, expected a list of texts")
    return value


def answer_of(row: Row, lang: str) -> Answer:
    """The gold answer of an own row. Raises UserError with the row's place."""
    options, answers = _options(row), _answers(row)
    kind = _kind(row, answers, options)
    for field, kinds in _ONLY.items():
        if row.values.get(field) is not None and kind not in kinds:
            row.fail(f"field {field!r} belongs to kind {' or '.join(kinds)}, this row is {kind.value!r}")
    if kind is AnswerKind.CHOICE:
        gold = _letters(row, answers, options)
        return Answer(kind, gold, options, row.fill("multi", bool, len(gold) > 1), lang=lang)
    if len(answers) > 1 and kind is not AnswerKind.SET:
        row.fail(f"answer has {len(answers)} items, kind {kind.value!r} takes one; use kind 'set'")
    gold = json.dumps(answers, ensure_ascii=False) if kind is AnswerKind.SET else answers[0]
    percent = kind is AnswerKind.NUMBER and gold.endswith("%")
    return Answer(kind, gold, asks_percent=percent, scale=row.fill("scale", str, ""), aliases=_aliases(row), lang=lang)


def _identity(row: Row) -> str:
    value = row.values.get("id")
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        row.fail(f"field 'id' is {describe(value)}, expected {FIELDS['id']}")
    return str(value)


def _media(row: Row, root: Path) -> tuple[MediaRef, ...]:
    if row.values.get("images") is None:
        return ()
    beside = row.path.parent.resolve().relative_to(root)
    try:
        return tuple(media_ref(root, str(beside / name)) for name in row.texts("images"))
    except UserError as error:
        row.fail(str(error))


def _sample(row: Row, request: ReadRequest, root: Path) -> Sample:
    for field in row.values:
        if field not in FIELDS:
            row.fail(f"unknown field {field!r}{nearest(field, FIELDS)}")
    identity, question = _identity(row), row.need("question", str).strip()
    if not question:
        row.fail("field 'question' is empty")
    lang = row.fill("lang", str, "zh" if _CHINESE.search(question) else "en")
    media = _media(row, root)
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source(request.name, request.split, request.entry.licence, identity, row.fill("document", str, "")),
        messages=(Message.of(Role.USER, question, images=len(media)),),
        answer=answer_of(row, lang),
        media=media,
        metadata={"question": question},
    )


def read(request: ReadRequest) -> Iterator[Sample]:
    """Read rows of `FIELDS`; rows without a `split` belong to whichever split lists their file."""
    take_options(request)
    root = request.root or request.files[0].parent
    for path in request.files:
        for row in read_rows(path):
            if row.fill("split", str, request.split) == request.split:
                yield _sample(row, request, root)
