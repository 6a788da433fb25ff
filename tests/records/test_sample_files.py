"""Samples as Parquet: whole, readable without this package, and refused when they are something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.records.io import SCHEMA, read_samples, write_samples


def sample(number: int) -> Sample:
    return Sample(
        id=f"s{number}",
        source=Source("own", "train", "Apache-2.0", str(number)),
        messages=(Message.of(Role.USER, f"第{number}题 {{}} \u2028 \U0001f4b0", images=number % 2),),
        answer=Answer(AnswerKind.CHOICE, "A", options={"A": "是", "B": "否"}),
        media=(MediaRef("a" * 64, "image", "1.png", 4),) if number % 2 else (),
        evidence={"facts": [1, {"x": None}], f"key{number}": True},
        difficulty=None if number else 0.5,
        metadata={"n": number},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    samples = [sample(number) for number in range(5)]
    assert write_samples(tmp_path / "s.parquet", iter(samples)) == 5
    assert read_samples(tmp_path / "s.parquet") == samples


def test_an_empty_set_keeps_its_columns(tmp_path: Path) -> None:
    assert write_samples(tmp_path / "s.parquet", []) == 0
    assert read_samples(tmp_path / "s.parquet") == []
    assert pq.read_schema(tmp_path / "s.parquet").equals(SCHEMA)


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_samples(tmp_path / name, [sample(1), sample(2)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_datasets_reads_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets comes with the dev extra")
    write_samples(tmp_path / "s.parquet", [sample(1)])
    row = datasets.Dataset.from_parquet(str(tmp_path / "s.parquet"), cache_dir=str(tmp_path / "cache"))[0]
    assert row["id"] == "s1"
    assert row["messages"][0]["parts"][0]["type"] == "image"
    assert row["media"][0]["tokens"] == 4


def test_a_failing_stream_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_samples(path, [sample(0)])

    def broken() -> object:
        yield sample(1)
        raise UserError("the reader stopped")

    with pytest.raises(UserError, match="the reader stopped"):
        write_samples(path, broken())  # type: ignore[arg-type]
    assert [one.id for one in read_samples(path)] == ["s0"]
    assert [file.name for file in tmp_path.iterdir()] == ["s.parquet"]


def test_foreign_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no sample file .* run the data stage first"):
        read_samples(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("id,answer\n", encoding="utf-8")
    with pytest.raises(UserError, match="not a Parquet file of samples"):
        read_samples(tmp_path / "text.parquet")
    pq.write_table(pa.table({"id": ["a"], "answer": ["{}"]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"lacks the columns \['difficulty', 'evidence'"):
        read_samples(tmp_path / "other.parquet")


def test_a_row_keeps_its_evidence_keys_to_itself(tmp_path: Path) -> None:
    """A Parquet struct would give every row every key."""
    samples = [replace(sample(0), evidence={"a": 1}), replace(sample(2), evidence={"b": 2})]
    write_samples(tmp_path / "s.parquet", samples)
    assert [one.evidence for one in read_samples(tmp_path / "s.parquet")] == [{"a": 1}, {"b": 2}]
