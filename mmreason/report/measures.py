"""Tables that a system makes of its own evaluation: what the agent looked at, by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.report.gather import Row, RunView, stage_records
from mmreason.run.folder import RunFolder

COLUMNS = ("title", "note", "columns", "rows")


def measures(folder: RunFolder, view: RunView) -> list[Row]:
    """One entry a suite whose answers have turns, {suite, tables}, by the `measures` of the domain or its system.

    The function gets {stage: records of the sample file} and returns tables {title, note, columns, rows}; cells are
    text or numbers. Empty where none is declared, or where the domain's folder is not here. Raises UserError for
    anything else that comes back.
    """
    ref = view.domain.get("measures")
    place = Path(view.manifest.get("domain", {}).get("folder") or "")
    if not ref or not place.is_dir():
        return []
    make = load_ref(ref, place)
    found = []
    for suite in view.suites:
        stages = _with_turns(folder, view, suite)
        if stages:
            found.append({"suite": suite, "tables": [_checked(table, ref) for table in make(stages)]})
    return found


def _with_turns(folder: RunFolder, view: RunView, suite: str) -> dict[str, list[Row]]:
    stages = {stage: list(stage_records(folder, stage, suite).values()) for stage in view.stages_of(suite)}
    return {
        stage: records
        for stage, records in stages.items()
        if any("turns" in run for record in records for run in record["runs"])
    }


def _checked(table: Any, ref: str) -> Row:
    if not isinstance(table, Mapping) or sorted(table) != sorted(COLUMNS):
        raise UserError(f"{ref} returned {str(table)[:80]!r}, a table has {', '.join(COLUMNS)}")
    width = len(table["columns"])
    odd = [row for row in table["rows"] if not isinstance(row, Sequence) or len(row) != width]
    if odd:
        raise UserError(f"{ref}: a row of {table['title']!r} is {str(odd[0])[:80]}, it needs {width} cells")
    return {**table, "rows": [[_cell(value) for value in row] for row in table["rows"]]}


def _cell(value: Any) -> Row:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = "-" if value is None else str(value)
    if isinstance(value, float):
        text = f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return {"text": text, "number": number or value is None}
