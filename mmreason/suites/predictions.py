"""A predictions file, one {"id", "output"} a line, matched with a suite's questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.scoring import Output


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{path} line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f'{where} is not JSON ({error}); expected {{"id": ..., "output": ...}}') from None
    if not isinstance(row, dict) or not {"id", "output"} <= set(row):
        found = sorted(row) if isinstance(row, dict) else type(row).__name__
        raise UserError(f"{where} has {found}, expected the fields 'id' and 'output'")
    outputs = row["output"] if isinstance(row["output"], list) else [row["output"]]
    if not outputs or not all(isinstance(output, str) for output in outputs):
        raise UserError(f"{where} ({row['id']}): 'output' is {row['output']!r}, expected text or a list of texts")
    return {"id": str(row["id"]), "outputs": outputs}


def read_predictions(path: Path) -> dict[str, list[str]]:
    """Id -> outputs; `output` may be a list of several answers to the same question.

    Raises UserError on a missing or empty file, foreign encoding, a broken line, a missing field, an id given twice.
    """
    if not path.is_file():
        raise UserError(f"no predictions file {path}")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(path, number, line)
        if row["id"] in found:
            raise UserError(f"{path} line {number}: id {row['id']!r} was given before; give each question once")
        found[row["id"]] = row["outputs"]
    if not found:
        raise UserError(f"{path} holds no predictions")
    return found


def match_predictions(
    predictions: dict[str, list[str]], samples: Sequence[Sample], suite: str
) -> tuple[list[list[Output]], list[str]]:
    """Outputs in the order of the samples, and the ids without one (scored as not right, never left out).

    Raises UserError for ids that the suite does not have, and for differing numbers of answers.
    """
    known = {sample.id for sample in samples}
    unknown = [name for name in predictions if name not in known]
    if unknown:
        example = samples[0].id
        raise UserError(
            f"{len(unknown)} predictions have ids that suite {suite!r} does not have, first {unknown[0]!r}; "
            f"its ids look like {example!r}"
        )
    counts = {len(outputs) for outputs in predictions.values()}
    if len(counts) > 1:
        raise UserError(f"predictions give {sorted(counts)} answers a question; give the same number for each")
    runs = counts.pop()
    missing = [sample.id for sample in samples if sample.id not in predictions]
    outputs = [[Output(text) for text in predictions.get(s.id, [])] or [Output(None)] * runs for s in samples]
    return outputs, missing
