"""Rows of files as their authors release them (JSON by id, tables with pictures inside), and parts of samples."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmreason.data.lines import Row, read_rows
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Part, Role, Sample, Source

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_JSON = 1 << 30
"""Bytes of a JSON file that is one object; such a file is read whole."""
BATCH = 16
_KINDS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"BM": ".bmp"}
_MARK = re.compile(r"<image ?(\d+)>")


def rows(path: Path, request: ReadRequest, key: str = "id") -> Iterator[Row]:
    """The records of a file: a JSON object of objects (its keys become the field `key`), Parquet, or what
    `read_rows` reads. Pictures inside a Parquet file are written beside it and stand in the row as file names."""
    if path.suffix == ".parquet":
        yield from _table(path, request)
    elif path.suffix == ".json" and _begins_object(path):
        yield from _keyed(path, key)
    else:
        yield from read_rows(path)


def loose_lines(path: Path) -> Iterator[Row]:
    """JSON lines in which NaN stands for an absent value, as data frames write them."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            try:
                record = json.loads(line, parse_constant=lambda name: None)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number}: broken JSON ({error})") from None
            if not isinstance(record, dict):
                raise UserError(f"{path}, line {number}: found {type(record).__name__}, expected an object")
            yield Row(record, path, number)


def _begins_object(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _keyed(path: Path, key: str) -> Iterator[Row]:
    if path.stat().st_size > MAX_JSON:
        raise UserError(f"{path}: larger than {MAX_JSON >> 30} GiB; write it as .jsonl, one record a line")
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: broken JSON ({error})") from None
    for number, (name, record) in enumerate(value.items(), start=1):
        if not isinstance(record, dict):
            raise UserError(f"{path}, row {number} ({name}): found {type(record).__name__}, expected an object")
        yield Row({key: name, **record}, path, number)


def _table(path: Path, request: ReadRequest) -> Iterator[Row]:
    number = 0
    try:
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH):
            for record in batch.to_pylist():
                number += 1
                yield Row({name: _unpacked(value, path, request) for name, value in record.items()}, path, number)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as Parquet, or its pictures not written beside it ({error})") from None


def _unpacked(value: Any, path: Path, request: ReadRequest) -> Any:
    """A picture stored as {"bytes", "path"} -> its file, relative to the table's folder; other values unchanged."""
    if not isinstance(value, dict) or not isinstance(value.get("bytes"), bytes):
        return value
    data: bytes = value["bytes"]
    suffix = next((suffix for head, suffix in _KINDS.items() if data.startswith(head)), None)
    if suffix is None:
        raise UserError(f"{path}: a picture inside is none of {', '.join(_KINDS.values())}")
    name = f"{path.stem}.media/{hashlib.sha256(data).hexdigest()[:16]}{suffix}"
    file = path.parent / name
    if request.need_media and not (file.is_file() and file.stat().st_size == len(data)):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)  # no fsync: a picture cut by a crash differs in size and is written again
    return name


def attach(request: ReadRequest, row: Row, name: str) -> MediaRef:
    """The picture called `name` in a row: relative to the folder of the row's file."""
    assert request.root is not None
    folder = row.path.parent.resolve().relative_to(request.root)
    return request.attach(str(folder / name))


def literal(row: Row, key: str) -> list[str]:
    """A list of texts, or its Python spelling as tables of released sets have it."""
    value = row.values.get(key)
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if value.strip() else []
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            row.fail(f"field {key!r} is {value[:60]!r}, expected a list")
    if not isinstance(value, list):
        row.fail(f"field {key!r} is {type(value).__name__}, expected a list")
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]  # one row of MMMU-Pro holds its options in a list of a list
    return [str(item) for item in value]


def lettered(options: Sequence[str], row: Row) -> dict[str, str]:
    """Letter -> option."""
    if len(options) > len(LETTERS):
        row.fail(f"{len(options)} options, at most {len(LETTERS)} can be lettered")
    return dict(zip(LETTERS, options, strict=False))


def choice(row: Row, gold: str, options: dict[str, str]) -> Answer:
    """A single choice. Raises UserError for a gold that is none of the options."""
    if gold not in options:
        row.fail(f"the answer {gold!r} is none of the options {', '.join(options)}")
    return Answer(AnswerKind.CHOICE, gold, options)


def number(gold: str) -> Answer:
    """A whole number is compared exactly (a year or a count is never nearly right), a decimal with its rounding."""
    whole = re.fullmatch(r"-?[\d,]+(\.0*)?", gold.strip())
    return Answer(AnswerKind.MATH if whole else AnswerKind.NUMBER, gold)


def short(gold: str, *others: str) -> Answer:
    """A gold without options: a number where it reads as one, else words; `others` are accepted too."""
    if not others and _is_number(gold):
        return number(gold)
    return Answer(AnswerKind.SPAN, gold, aliases={"also": list(others)} if others else {})


def _is_number(text: str) -> bool:
    plain = re.fullmatch(r"-?(\d+|\d{1,3}(,\d{3})+)?(\.\d+)?%?", text.strip())
    return plain is not None and any(map(str.isdigit, text))


def spaced(text: str) -> str:
    """Marks of pictures in our form, '<image k>'."""
    return _MARK.sub(r"<image \1>", text)


def marks(*texts: str) -> list[int]:
    """The numbers of the marks, in order, once each."""
    return list(dict.fromkeys(int(mark) for text in texts for mark in _MARK.findall(text)))


def renumbered(text: str, order: Sequence[int]) -> str:
    """Marks by the place of their picture in `order`: '<image 3>' -> '<image 1>' for order [3].

    A mark whose picture is not in the release stays words: '(image 8)'.
    """

    def shown(mark: re.Match[str]) -> str:
        number = int(mark.group(1))
        return f"<image {order.index(number) + 1}>" if number in order else f"(image {number})"

    return _MARK.sub(shown, text)


def sample(
    request: ReadRequest,
    row: str,
    question: str,
    answer: Answer,
    media: tuple[MediaRef, ...] = (),
    document: str = "",
    inline: bool = False,
    **metadata: Any,
) -> Sample:
    """One question of a set. `inline`: the text places its pictures by marks; else they stand before it."""
    message = Message(Role.USER, (Part("text", question),)) if inline else Message.about(question, media)
    placed = {"inline_images": True} if inline else {}
    return Sample(
        id=f"{request.name}-{row}",
        source=Source(request.name, request.split, request.entry.licence, row, document or f"{request.name}-{row}"),
        messages=(message,),
        answer=answer,
        media=media,
        metadata={"question": question, **placed, **metadata},
    )
