"""What the readers of medical text questions share: rows of any released form, lettered options, one sample a row."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmreason.data.lines import MAX_FILE, Row, describe, read_rows
from mmreason.data.step import Drop, ReadRequest
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

_SPACE = re.compile(r"\s+")


def rows_of(path: Path) -> Iterator[Row]:
    """Rows of a .parquet file, of a .json file that holds one record a line, or of what `read_rows` takes."""
    if path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix == ".json" and not _is_array(path):
        yield from _json_lines(path)
    else:
        yield from read_rows(path)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a whole parquet file ({error}); fetch it again") from None
    if not rows:
        raise UserError(f"{path} has no rows")
    for number, values in enumerate(rows, start=1):
        yield Row(values, path, number)


def _is_array(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield Row(_object(line, f"{path}, line {number}"), path, number)


def text_of(path: Path) -> str:
    """The text of a file. Raises UserError for a foreign encoding or an absurd size."""
    if path.stat().st_size > MAX_FILE:
        raise UserError(f"{path}: larger than {MAX_FILE >> 30} GiB; that is no released file of this set")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: broken JSON ({error}); found {text.strip()[:60]!r}") from None
    if not isinstance(value, dict):
        raise UserError(f"{place}: found {describe(value)}, expected an object with fields")
    return value


def document_of(path: Path) -> Row:
    """A .json file that is one object (records by key, or columns) as one row."""
    return Row(_object(text_of(path), str(path)), path, 1)


def columns_of(path: Path) -> Iterator[Row]:
    """Rows of a table that is stored by columns: {field: {row number: value}}."""
    table = document_of(path)
    numbers = [key for name in table.values for key in table.need(name, dict)]
    for number in sorted(dict.fromkeys(numbers), key=int):
        absent = [name for name in table.values if number not in table.need(name, dict)]
        if absent:
            table.fail(f"column {absent[0]!r} has no row {number!r}")
        yield Row({name: column[number] for name, column in table.values.items()}, path, int(number))


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """Options by letter, from A."""
    return {letter: text.strip() for letter, text in zip(ascii_uppercase, texts, strict=False)}


def options_of(row: Row, key: str) -> dict[str, str]:
    """Letter -> text from an object, or from a list of {key|letter, value|content}; empty options are none."""
    value = row.values.get(key)
    if isinstance(value, list):
        pairs = [(one.values.get("key") or one.need("letter", str), _said(one)) for one in row.inners(key)]
    else:
        pairs = list(row.inner(key).values.items())
    for letter, text in pairs:
        if not isinstance(letter, str) or not isinstance(text, str | int | float | None):
            row.fail(f"{key} has {describe({str(letter): text})}, expected letter and text")
    return {letter.strip(): str(text).strip() for letter, text in pairs if text is not None and str(text).strip()}


def _said(option: Row) -> str:
    return option.need("value" if "value" in option.values else "content", str)


def indexed(row: Row, key: str, options: Sequence[str], first: int) -> str:
    """The letter of an option number that counts from `first`. Raises UserError for a number outside the options."""
    number = row.values.get(key)
    if isinstance(number, str) and number.strip().isdigit():
        number = int(number)
    if not isinstance(number, int | float) or number != int(number) or not first <= number < first + len(options):
        row.fail(f"{key} is {describe(number)}, expected {first} to {first + len(options) - 1}")
    return options[int(number) - first]


def stem_key(question: str) -> str:
    """The same for questions that differ in case and spaces only: what repeated questions share."""
    folded = _SPACE.sub(" ", question).strip().casefold()
    return hashlib.sha256(folded.encode()).hexdigest()[:16]


def choice(
    row: Row,
    request: ReadRequest,
    identity: str,
    question: str,
    options: dict[str, str],
    gold: str,
    lang: str = "en",
    evidence: Mapping[str, Any] | None = None,
    multi: bool = False,
    document: str = "",
    **metadata: Any,
) -> Sample | Drop:
    """One multiple-choice sample; a row without question, or whose gold is no option, is dropped with a reason.

    `multi`, and several gold letters: several may be right. `evidence`: explanations, never put into prompts.
    `document`: what repeats of a question share, by default its stem.
    """
    name, question = f"{request.name}-{identity}", question.strip()
    letters = "".join(sorted(set(gold)))
    if not question:
        return Drop(name, "read", "no_question", row=row.values)
    if not letters or not set(letters) <= set(options):
        return Drop(name, "read", "answer_not_in_options", f"{gold!r} of {list(options)}", row.values)
    answer = Answer(AnswerKind.CHOICE, letters, options, multi=multi or len(letters) > 1, lang=lang)
    return Sample(
        id=name,
        source=Source(request.name, request.split, request.entry.licence, identity, document or stem_key(question)),
        messages=(Message.of(Role.USER, question),),
        answer=answer,
        evidence={key: value for key, value in (evidence or {}).items() if value},
        metadata={"question": question, **metadata},
    )
