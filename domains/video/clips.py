"""What the video readers share: rows of every released file shape, lettered options, one sample a question."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from mmreason.data.lines import MAX_FILE, Row, describe, read_rows
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source

NO_LETTER = "@"
"""Gold letter where the released answer is none of the candidates; the sets' own scorers come to the same sign."""


def records(path: Path) -> Iterator[Row]:
    """Rows of a .parquet file, else of what `read_rows` reads."""
    if path.suffix != ".parquet":
        yield from read_rows(path)
        return
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
        raise UserError(f"{path}: not a parquet file that can be read ({error}); fetch it again") from None
    yield from (Row(values, path, number) for number, values in enumerate(rows, start=1))


def mapping(path: Path) -> dict[str, Row]:
    """A .json file that is one object of objects: key -> row, whose number is the place of the key."""
    if path.stat().st_size > MAX_FILE:
        raise UserError(f"{path}: larger than {MAX_FILE >> 30} GiB")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: found {describe(value)}, expected one object of objects")
    for key, inner in value.items():
        if not isinstance(inner, dict):
            raise UserError(f"{path}: under {key!r} is {describe(inner)}, expected an object")
    return {key: Row(inner, path, place) for place, (key, inner) in enumerate(value.items(), start=1)}


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """A, B, C ... -> text."""
    return dict(zip(string.ascii_uppercase, texts, strict=False))


def unlettered(row: Row, key: str) -> dict[str, str]:
    """Options that are released with their letters ("A. red"): letter -> text."""
    options = {}
    for option in row.texts(key):
        letter, mark, text = option.partition(".")
        if not mark or letter.strip() not in string.ascii_uppercase or not letter.strip():
            row.fail(f"{key} holds {option[:60]!r}, expected a letter, a full stop and a text")
        options[letter.strip()] = text.strip()
    return options


def gold_letter(texts: Sequence[str], answer: str) -> str:
    """Letter of the last text that equals the answer, as the sets' scorers find it; `NO_LETTER` for none."""
    return next((letter for letter, text in reversed(lettered(texts).items()) if text == answer), NO_LETTER)


def chosen(texts: Sequence[str], answer: str) -> Answer:
    """A choice whose gold is released as text."""
    return Answer(AnswerKind.CHOICE, gold_letter(texts, answer), lettered(texts))


def windows(row: Row, key: str) -> list[list[float]]:
    """A list of [start, end] in seconds. Raises UserError for anything else."""
    value: list[Any] = row.need(key, list)
    return [window(row, key, pair) for pair in value]


def window(row: Row, key: str, pair: Any) -> list[float]:
    """One [start, end] in seconds. Raises UserError for anything else."""
    numbers = isinstance(pair, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in pair)
    if not numbers or len(pair) != 2:
        row.fail(f"{key} holds {describe(pair)}, expected start and end in seconds")
    return [float(x) for x in pair]


def asked(
    request: ReadRequest,
    identity: str,
    text: str,
    answer: Answer,
    clip: MediaRef,
    document: str,
    evidence: dict[str, Any] | None = None,
    **metadata: Any,
) -> Sample:
    """The sample of one question about one clip; `document` is what questions share, mostly the clip."""
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source(request.name, request.split, request.entry.licence, identity, f"{request.name}-{document}"),
        messages=(Message.about(text, (clip,)),),
        answer=answer,
        media=(clip,),
        evidence=evidence or {},
        metadata={"question": text, **metadata},
    )
