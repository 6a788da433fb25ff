"""Samples as Parquet, readable by `datasets` without this package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmreason.errors import UserError
from mmreason.records.sample import Sample
from mmreason.run.files import replacing

_TEXT, _INT = pa.string(), pa.int64()
_PART = pa.struct([("type", _TEXT), ("text", _TEXT), ("media", _INT)])
_MEDIA = pa.struct(
    [
        *((name, _TEXT) for name in ("sha256", "kind", "path", "frame_rule", "caption")),
        *((name, _INT) for name in ("tokens", "min_pixels", "max_pixels", "total_pixels")),
        *((name, pa.float64()) for name in ("start", "end", "fps")),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        ("source", pa.struct([(name, _TEXT) for name in ("dataset", "split", "licence", "row", "document")])),
        ("messages", pa.list_(pa.struct([("role", _TEXT), ("parts", pa.list_(_PART))]))),
        ("answer", _TEXT),
        ("media", pa.list_(_MEDIA)),
        ("evidence", _TEXT),
        ("difficulty", pa.float64()),
        ("metadata", _TEXT),
    ]
)
_AS_JSON = ("answer", "evidence", "metadata")  # open dictionaries: Parquet structs would fix their keys


def _to_row(sample: Sample) -> dict[str, Any]:
    row = sample.to_dict()
    return {**row, **{key: json.dumps(row[key], ensure_ascii=False, sort_keys=True) for key in _AS_JSON}}


def write_samples(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples atomically; returns their number. An empty file keeps the schema."""
    table = pa.Table.from_pylist([_to_row(sample) for sample in samples], schema=SCHEMA)
    with replacing(path) as beside:
        pq.write_table(table, beside)
    return int(table.num_rows)


def read_samples(path: Path) -> list[Sample]:
    """Read samples written by `write_samples`. Raises UserError on a missing or foreign file."""
    if not path.is_file():
        raise UserError(f"no sample file {path}: run the data stage first")
    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a Parquet file of samples ({error}); build it again") from error
    missing = set(SCHEMA.names) - set(rows[0] if rows else SCHEMA.names)
    if missing:
        raise UserError(f"{path} lacks the columns {sorted(missing)}; expected {SCHEMA.names}")
    return [Sample.from_dict({**row, **{key: json.loads(row[key]) for key in _AS_JSON}}) for row in rows]
