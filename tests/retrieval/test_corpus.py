"""Every row of a corpus becomes a passage or a line that says why not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.retrieval.corpus import MAX_ROW, BadRow, Reason, jsonl_files, passages_sha256, read_corpus, text_field
from mmreason.retrieval.passages import Passage


def make(row: Mapping[str, Any]) -> Passage:
    return Passage(text_field(row, "id"), text_field(row, "text"))


def line(identity: str, text: str) -> bytes:
    return json.dumps({"id": identity, "text": text}).encode() + b"\n"


def test_rows_are_kept_byte_for_byte_or_set_aside_with_a_line(tmp_path: Path) -> None:
    nasty = " <search>\u2028 two  blanks\ttab\r\n\x00 e\u0301 \U0001f9ec "
    rows = [
        line("a", nasty),
        b"\n",
        line("b", " \n\t "),
        b"{broken\n",
        line("a", nasty),
        line("a", "other"),
        b"[1, 2]\n",
        b'{"id": "c"}\n',
        b'{"id": 7, "text": "x"}\n',
        line("long", "x" * (1 << 20)),
        b'{"id": "half", "text": "\\ud800"}\n',
        b'{"id": "latin", "text": "\xe9"}\n',
        b'{"id": "nan", "text": "x", "value": NaN}\n',
        line("last", "kept"),
    ]
    path = tmp_path / "c.jsonl"
    path.write_bytes(b"".join(rows))
    corpus = read_corpus("mine", [path], make)
    assert [(p.id, p.text) for p in corpus.passages] == [("a", nasty), ("last", "kept")]
    found = [(one.line, one.reason) for one in corpus.report.aside]
    assert found == [
        (3, Reason.EMPTY),
        (4, Reason.BAD_JSON),
        (5, Reason.DUPLICATE_ID),
        (6, Reason.DUPLICATE_ID),
        (7, Reason.NOT_OBJECT),
        (8, Reason.FIELD),
        (9, Reason.FIELD),
        (10, Reason.TOO_LONG),
        (11, Reason.NOT_UTF8),
        (12, Reason.NOT_UTF8),
        (13, Reason.BAD_JSON),
    ]
    assert corpus.report.rows == 13 == corpus.report.passages + len(corpus.report.aside)
    first, *others = corpus.report.lines()
    assert first.startswith("2 passages of 13 rows; set aside: 1 empty, 2 bad_json, 2 duplicate_id")
    assert len(others) == 11 and all("\n" not in text for text in others)
    assert f"{path}, line 5: duplicate_id: id 'a' came before with the same text" in others[2]
    assert "with another text" in others[3]


def test_a_row_of_exactly_the_limit_is_read_and_a_last_line_without_end_too(tmp_path: Path) -> None:
    frame = len(line("a", ""))
    path = tmp_path / "c.jsonl"
    path.write_bytes(
        line("a", "x" * (MAX_ROW + 1 - frame)) + line("b", "y" * (MAX_ROW + 2 - frame)) + line("c", "z")[:-1]
    )
    corpus = read_corpus("mine", [path], make)
    assert [passage.id for passage in corpus.passages] == ["a", "c"]
    assert [one.line for one in corpus.report.aside] == [2]


def test_broken_files_stop_with_one_line(tmp_path: Path) -> None:
    whole = gzip.compress(line("a", "x" * 1000) * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    (tmp_path / "not.jsonl.gz").write_bytes(b"plain")
    (tmp_path / "bad.jsonl").write_bytes(b"{\n{\n")
    cases = {"cut.jsonl.gz": "truncated", "not.jsonl.gz": "not a whole .gz", "none.jsonl": "no file"}
    for name, said in cases.items():
        with pytest.raises(UserError, match=said):
            read_corpus("mine", [tmp_path / name], make)
    with pytest.raises(UserError, match=r"corpus mine: no passage in .*bad.jsonl \(0 passages of 2 rows.*2 bad_json"):
        read_corpus("mine", [tmp_path / "bad.jsonl"], make)


def test_ids_are_unique_over_files_and_the_hash_is_of_the_content(tmp_path: Path) -> None:
    chunks = tmp_path / "corpus" / "chunk"
    chunks.mkdir(parents=True)
    (chunks / "2.jsonl").write_bytes(line("b", "two") + line("a", "again"))
    (chunks / "1.jsonl.gz").write_bytes(gzip.compress(line("a", "one")))
    (chunks / "notes.txt").write_text("no")
    files = jsonl_files(tmp_path / "corpus")
    assert [path.name for path in files] == ["1.jsonl.gz", "2.jsonl"]
    corpus = read_corpus("mine", files, make)
    assert [passage.id for passage in corpus.passages] == ["a", "b"]
    same = passages_sha256([Passage("a", "one", source="elsewhere"), Passage("b", "two")])
    assert corpus.sha256 == same != passages_sha256([Passage("b", "two"), Passage("a", "one")])
    assert same != passages_sha256([Passage("a", "one", title="t"), Passage("b", "two")])
    (chunks.parent.parent / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.jsonl"):
        jsonl_files(tmp_path / "empty")


def test_a_reader_may_refuse_a_row_itself(tmp_path: Path) -> None:
    def refuse(row: Mapping[str, Any]) -> Passage:
        if row["id"] == "a":
            raise BadRow(Reason.FIELD, "not mine")
        return make(row)

    path = tmp_path / "c.jsonl"
    path.write_bytes(line("a", "one") + line("b", "two"))
    corpus = read_corpus("mine", [path], refuse)
    assert corpus.report.counts() == {"field": 1} and corpus.passages[0].id == "b"
