"""Files of rows: every format, and one clear line for every fault."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest

from mmreason.data.lines import read_rows
from mmreason.errors import UserError


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ROWS = [{"id": "a", "问": "一"}, {"id": "b", "问": "二"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.jsonl", LINES),
        ("x.jsonl.gz", LINES),
        ("x.jsonl", "\ufeff" + LINES.replace("\n", "\r\n\r\n")),  # a spreadsheet's BOM, Windows lines, blank lines
        ("x.json", json.dumps(ROWS)),
        ("x.json.gz", json.dumps({"data": ROWS})),
        ("x.csv", 'id,问\na,一\n"b","二"\n'),
        ("x.csv.gz", "id,问\na,一\n\nb,二\n"),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    assert [row.values for row in read_rows(write(tmp_path / name, text.encode()))] == ROWS


def test_lines_are_numbered_as_an_editor_shows_them(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", b'{"id": "a"}\n\n{"id": "b"}\n')
    assert [row.line for row in read_rows(path)] == [1, 3]
    path = write(tmp_path / "x.csv", b'id,text\na,"two\nlines"\nb,c\n')
    assert [row.line for row in read_rows(path)] == [3, 4]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.jsonl", b"", "has no rows"),
        ("x.jsonl", b"\n  \n", "has no rows"),
        ("x.json", b"[]", "has no rows"),
        ("x.csv", b"id,text\n", "has no rows"),
        ("x.jsonl", b'{"id": 1}\n{"id": \n', "line 2: broken JSON"),
        ("x.jsonl", b'{"id": 1}\n{"id": NaN}\n', "line 2: broken JSON (NaN"),
        ("x.jsonl", b'{"id": 1}\n{"id": "\xff"}\n', "line 2: not UTF-8 at byte 8"),
        ("x.jsonl", b'{"id": 1}\n[1, 2]\n', "row 2: found list [1, 2], expected an object"),
        ("x.jsonl", b"[" * 200_000 + b"\n", "broken JSON|nested too deeply"),
        ("x.json", b'{"data": 3}', "expected an array of objects"),
        ("x.json", b'[{"id": 1}, 2]', "row 2: found int 2"),
        ("x.json", b'[{"id": 1},', "broken JSON"),
        ("x.csv", b"id,text\na,b\nc\n", "line 3: 1 cells, the header has 2 columns"),
        ("x.csv", b'id,text\na,"b\n', "broken CSV"),
        ("x.txt", b"a", "cannot read '.txt'"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(UserError) as error:
        list(read_rows(write(tmp_path / name, data)))
    assert any(part in str(error.value) for part in said.split("|")), error.value
    assert "\n" not in str(error.value)


def test_missing_and_truncated_and_fake_archives(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        list(read_rows(tmp_path / "none.jsonl"))
    whole = gzip.compress(LINES.encode() * 200)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated"):
        list(read_rows(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "fake.jsonl.gz").write_bytes(LINES.encode())
    with pytest.raises(UserError, match=r"not a whole \.gz"):
        list(read_rows(tmp_path / "fake.jsonl.gz"))


def test_a_wrong_field_names_file_row_found_and_expected(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", b'{"question": 3, "flag": true, "cells": [["a", 1]], "texts": ["a", null]}\n')
    row = next(iter(read_rows(path)))
    with pytest.raises(UserError, match=r"x\.jsonl, row 1: no field 'quesion' \(did you mean 'question'\?\)"):
        row.need("quesion", str)
    with pytest.raises(UserError, match="field 'question' is int 3, expected text"):
        row.need("question", str)
    with pytest.raises(UserError, match="field 'flag' is bool true, expected a whole number"):
        row.need("flag", int)  # True is an int to Python, not to a person
    with pytest.raises(UserError, match=r"cells\[0\]"):
        row.table("cells")
    with pytest.raises(UserError, match=r"texts\[1\] is null"):
        row.texts("texts")
    assert row.fill("absent", str, "x") == "x"


def test_twenty_thousand_rows_a_second(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", (json.dumps({"id": "a", "q": "word " * 60}) + "\n").encode() * 20_000)
    begin = time.perf_counter()
    assert sum(1 for _ in read_rows(path)) == 20_000
    assert time.perf_counter() - begin < 5.0  # about 0.15 s on an idle core; the demand is 1 s, others share ours
