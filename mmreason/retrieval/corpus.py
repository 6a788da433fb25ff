"""From JSON-lines files to passages: a row that cannot be one is set aside with a line that says why, and counted.

Broken files (missing, truncated, not gzip) are UserErrors. Broken rows are not: of millions some always are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from mmreason.errors import UserError
from mmreason.retrieval.passages import Passage

MAX_ROW = 256 << 10
"""Bytes in one row. Chunks of the released corpora have 1,000 characters, the longest MedQuAD row 28 kB: a row far
above is a document that was not cut, and would alone fill a reader's context."""


class Reason(StrEnum):
    """Why a row is no passage."""

    TOO_LONG = "too_long"
    """More than MAX_ROW bytes; skipped without being parsed."""
    NOT_UTF8 = "not_utf8"
    """Not UTF-8, or an escape of half a character, which no file or service could carry on."""
    BAD_JSON = "bad_json"
    NOT_OBJECT = "not_object"
    FIELD = "field"
    """A field is missing or of another type."""
    EMPTY = "empty"
    """No text but white space."""
    DUPLICATE_ID = "duplicate_id"
    """The id came before; the first row is kept."""


class BadRow(Exception):
    """Raised by a row reader: this row is no passage, for `reason`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


MakePassage = Callable[[Mapping[str, Any]], Passage]


@dataclass(frozen=True, slots=True)
class SetAside:
    """One row that is no passage."""

    path: Path
    line: int
    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason.value}: {self.detail}"


@dataclass
class CorpusReport:
    """What became of every row: `rows` is the passages and those set aside."""

    rows: int = 0
    passages: int = 0
    aside: list[SetAside] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Rows set aside, by reason."""
        return dict(Counter(one.reason.value for one in self.aside))

    def lines(self) -> list[str]:
        """A line for each row set aside, after one for the whole."""
        why = ", ".join(f"{count} {reason}" for reason, count in self.counts().items()) or "none"
        return [f"{self.passages} passages of {self.rows} rows; set aside: {why}", *map(str, self.aside)]


@dataclass(frozen=True)
class Corpus:
    """Passages in the order of their files, and the account of the rows."""

    name: str
    passages: tuple[Passage, ...]
    report: CorpusReport = field(default_factory=CorpusReport, compare=False)

    @cached_property
    def sha256(self) -> str:
        """Content hash: ids, titles and texts in order."""
        return passages_sha256(self.passages)


def passages_sha256(passages: Sequence[Passage]) -> str:
    """Hex digest of ids, titles and texts in order: what an index is of."""
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(json.dumps([passage.id, passage.title, passage.text]).encode() + b"\n")
    return digest.hexdigest()


def text_field(row: Mapping[str, Any], key: str) -> str:
    """The string under `key`, as it stands. Raises BadRow where it is absent or no string."""
    value = row.get(key)
    if not isinstance(value, str):
        raise BadRow(Reason.FIELD, f"field {key!r} is {type(value).__name__}, expected text")
    return value


def jsonl_files(where: Path) -> list[Path]:
    """`where` itself, or the .jsonl and .jsonl.gz files of a folder (or of its chunk/ folder) by name."""
    if not where.is_dir():
        return [where]
    folder = where / "chunk" if (where / "chunk").is_dir() else where
    files = sorted(path for path in folder.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz")))
    if not files:
        raise UserError(f"{folder}: no .jsonl or .jsonl.gz files; give the folder of the corpus' chunks")
    return files


def read_corpus(name: str, files: Sequence[Path], make: MakePassage) -> Corpus:
    """Read JSON-lines files, plain or .gz, in order; `make` turns an object into a passage or raises BadRow.

    Raises UserError for a file that is missing or not whole, and for a corpus without a single passage.
    """
    report, passages, texts = CorpusReport(), list[Passage](), dict[str, int]()
    for path in files:
        for line, data in _rows(path):
            report.rows += 1
            try:
                passage = _passage(data, make, texts)
            except BadRow as bad:
                report.aside.append(SetAside(path, line, bad.reason, bad.detail))
                continue
            texts[passage.id] = hash(passage.text)
            passages.append(passage)
    report.passages = len(passages)
    if not passages:
        found = "; ".join(report.lines()[:2])
        raise UserError(f"corpus {name}: no passage in {', '.join(map(str, files)) or 'no file'} ({found})")
    return Corpus(name, tuple(passages), report)


def _passage(data: bytes | None, make: MakePassage, seen: Mapping[str, int]) -> Passage:
    passage = make(_object(data))
    if not passage.text.strip():
        raise BadRow(Reason.EMPTY, f"passage {passage.id!r} has no text")
    if passage.id in seen:
        same = "the same text" if seen[passage.id] == hash(passage.text) else "another text"
        raise BadRow(Reason.DUPLICATE_ID, f"id {passage.id!r} came before with {same}; the first is kept")
    return passage


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _object(data: bytes | None) -> dict[str, Any]:
    if data is None:
        raise BadRow(Reason.TOO_LONG, f"more than {MAX_ROW >> 10} KiB; cut documents into passages first")
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()  # json.loads lets half a surrogate pair through
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise BadRow(Reason.NOT_UTF8, f"{error.reason}; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise BadRow(Reason.BAD_JSON, f"{error}; one JSON object a line is expected") from None
    if not isinstance(value, dict):
        raise BadRow(Reason.NOT_OBJECT, f"found {type(value).__name__}, expected an object with fields")
    return value


def _rows(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, the line) of one file without blank lines; None for a line over MAX_ROW."""
    if not path.is_file():
        raise UserError(f"no file {path}; a corpus is read from .jsonl or .jsonl.gz files")
    try:
        with cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb") as handle:
            for number, line in enumerate(_lines(handle), start=1):
                if line is None or line.strip():
                    yield number, line
    except EOFError:
        raise UserError(f"{path} ends too early (truncated .gz); fetch it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a whole .gz file ({error}); fetch it again") from None


def _lines(handle: IO[bytes]) -> Iterator[bytes | None]:
    while data := handle.readline(MAX_ROW + 1):
        if len(data) <= MAX_ROW or data.endswith(b"\n"):
            yield data
            continue
        while (rest := handle.readline(MAX_ROW)) and not rest.endswith(b"\n"):
            pass  # to the end of the line, a piece at a time
        yield None
