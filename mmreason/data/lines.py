"""Rows of .jsonl, .json and .csv files, plain or .gz; every fault names the file and the line.

A .json file is one array of objects, or {"data": [...]}; it is read whole, the others line by line.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

from mmreason.errors import UserError, nearest

MAX_LINE = 64 << 20
"""Bytes in one line, and MAX_FILE in one .json file: a small .gz can unpack to more than the memory holds."""
MAX_FILE = 4 << 30

T = TypeVar("T")
_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One record and where it stands, so that a reader's complaint can point at it."""

    values: dict[str, Any]
    path: Path
    line: int
    """Line in a .jsonl or .csv file, item number in a .json array; both from 1."""

    @property
    def where(self) -> str:
        """'finqa/train.jsonl.gz, row 3'."""
        return f"{self.path}, row {self.line}"

    def need(self, key: str, kind: type[T]) -> T:
        """The field `key`. Raises UserError where it is absent or of another type."""
        if key not in self.values:
            raise UserError(f"{self.where}: no field {key!r}{nearest(key, self.values)}")
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UserError(
                f"{self.where}: field {key!r} is {describe(value)}, expected {_NAMES.get(kind, kind.__name__)}"
            )
        return value

    def fill(self, key: str, kind: type[T], default: T) -> T:
        """As `need`, with `default` where the field is absent or null."""
        return default if self.values.get(key) is None else self.need(key, kind)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        value: list[Any] = self.need(key, list)
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise UserError(f"{self.where}: {key}[{index}] is {describe(item)}, expected text")
        return value

    def table(self, key: str) -> list[list[str]]:
        """A list of rows of strings; rows may differ in length."""
        value: list[Any] = self.need(key, list)
        for index, cells in enumerate(value):
            if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
                raise UserError(f"{self.where}: {key}[{index}] is {describe(cells)}, expected a list of text cells")
        return value

    def inner(self, key: str) -> Row:
        """The object under `key` as a row of its own."""
        value: dict[str, Any] = self.need(key, dict)
        return Row(value, self.path, self.line)

    def inners(self, key: str) -> list[Row]:
        """The objects of the list under `key`."""
        value: list[Any] = self.need(key, list)
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise UserError(f"{self.where}: {key}[{index}] is {describe(item)}, expected an object")
        return [Row(item, self.path, self.line) for item in value]

    def fail(self, message: str) -> NoReturn:
        """Raise UserError with the place in front."""
        raise UserError(f"{self.where}: {message}")


def describe(value: Any) -> str:
    """A short account of a wrong value for an error line: its type and how it begins."""
    if value is None:
        return "null"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:40] + '...'}"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


_DECODE = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _parse(text: str, place: str) -> Any:
    try:
        return _DECODE(text)
    except RecursionError:
        raise UserError(f"{place}: JSON nested too deeply to read") from None
    except ValueError as error:
        raise UserError(f"{place}: broken JSON ({error}); found {text.strip()[:60]!r}") from None


def _decode(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None


def _object(value: Any, path: Path, line: int) -> Row:
    if not isinstance(value, dict):
        raise UserError(f"{path}, row {line}: found {describe(value)}, expected an object with fields")
    return Row(value, path, line)


def _lines(handle: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    for number, data in enumerate(iter(partial(handle.readline, MAX_LINE), b""), start=1):
        if len(data) == MAX_LINE:
            raise UserError(f"{path}, line {number}: longer than {MAX_LINE >> 20} MiB; one record a line is expected")
        yield number, _decode(data, f"{path}, line {number}")


def _jsonl(handle: IO[bytes], path: Path) -> Iterator[Row]:
    for number, text in _lines(handle, path):
        if not text.isspace():
            yield _object(_parse(text, f"{path}, line {number}"), path, number)


def _json(handle: IO[bytes], path: Path) -> Iterator[Row]:
    data = handle.read(MAX_FILE)
    if len(data) == MAX_FILE:
        raise UserError(f"{path}: larger than {MAX_FILE >> 30} GiB; write it as .jsonl, one record a line")
    value = _parse(_decode(data, str(path)), str(path))
    records = value.get("data") if isinstance(value, dict) else value
    if not isinstance(records, list):
        raise UserError(f'{path}: found {describe(value)}, expected an array of objects or {{"data": [...]}}')
    for number, record in enumerate(records, start=1):
        yield _object(record, path, number)


def _csv(handle: IO[bytes], path: Path) -> Iterator[Row]:
    reader = csv.reader((text for _, text in _lines(handle, path)), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = cells
            elif cells:
                if len(cells) != len(header):
                    raise UserError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, the header has {len(header)} columns"
                    )
                yield Row(dict(zip(header, cells, strict=True)), path, reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: broken CSV ({error})") from None


_FORMATS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv}


def read_rows(path: Path) -> Iterator[Row]:
    """Stream the records of one file; blank lines are passed over.

    Raises UserError for a missing, empty, truncated, non-UTF-8 or broken file and for an unknown extension.
    """
    packed = path.suffix == ".gz"
    extension = Path(path.stem).suffix if packed else path.suffix
    if extension not in _FORMATS:
        raise UserError(f"{path}: cannot read {extension or 'a file without extension'!r}; use {', '.join(_FORMATS)}")
    if not path.is_file():
        raise UserError(f"no file {path}")
    empty = True
    try:
        with cast(IO[bytes], gzip.open(path, "rb")) if packed else path.open("rb") as handle:
            for row in _FORMATS[extension](handle, path):
                empty = False
                yield row
    except EOFError:
        raise UserError(f"{path} ends too early (truncated .gz); fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a whole .gz file ({error}); fetch it again") from None
    if empty:
        raise UserError(f"{path} has no rows")
