"""Predictions files matched with a suite's questions: our own form, and those of published scorers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.references import prediction_format
from mmreason.suites.scoring import Output
from mmreason.suites.suite import Suite

OURS = "mmreason"
"""Name of our own form: one {"id", "output"} a line."""


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"key {twice!r} was given before; give each question once")
    return found


def parse_json(text: str, where: str) -> Any:
    """JSON text whose objects have no key twice. Raises UserError that begins with `where`."""
    try:
        return json.loads(text, object_pairs_hook=_unique_pairs)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON ({error})") from None


def read_text(path: Path) -> str:
    """The text of a predictions file. Raises UserError for a missing, empty or foreign one."""
    if not path.is_file():
        raise UserError(f"no predictions file {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    if not text.strip():
        raise UserError(f"{path} holds no predictions")
    return text


def read_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a JSON-lines file, each with its place for messages."""
    rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):  # not splitlines: U+2028 is text
        if not line.strip():
            continue
        where = f"{path} line {number}"
        row = parse_json(line, where)
        if not isinstance(row, dict):
            raise UserError(f"{where} is {type(row).__name__}, expected one JSON object a line")
        rows.append((where, row))
    return rows


def collect(pairs: Sequence[tuple[str, str, list[str]]]) -> dict[str, list[str]]:
    """(place, id, outputs) -> id -> outputs. Raises UserError for an id given twice."""
    found: dict[str, list[str]] = {}
    for where, name, outputs in pairs:
        if name in found:
            raise UserError(f"{where}: id {name!r} was given before; give each question once")
        found[name] = outputs
    return found


def _outputs(where: str, row: dict[str, Any]) -> tuple[str, str, list[str]]:
    if not {"id", "output"} <= set(row):
        raise UserError(f"{where} has {sorted(row)}, expected the fields 'id' and 'output'")
    outputs = row["output"] if isinstance(row["output"], list) else [row["output"]]
    if not outputs or not all(isinstance(output, str) for output in outputs):
        raise UserError(f"{where} ({row['id']}): 'output' is {row['output']!r:.200}, expected text or a list of texts")
    return where, str(row["id"]), outputs


def read_predictions(path: Path) -> dict[str, list[str]]:
    """Id -> outputs of our own form; `output` may be a list of several answers to the same question.

    Raises UserError on a missing or empty file, foreign encoding, a broken line, a missing field, an id given twice.
    """
    return collect([_outputs(where, row) for where, row in read_lines(path)])


def read_any(path: Path, suite: Suite, samples: Sequence[Sample], form: str | None = None) -> dict[str, list[str]]:
    """Id -> outputs, in the form named `form`; without a name ours, unless the file is another that the suite reads.

    Raises UserError for an unknown form, naming those of the suite.
    """
    if form not in (None, OURS, *suite.formats):
        have = ", ".join([OURS, *suite.formats])
        raise UserError(f"suite {suite.name!r} reads no predictions in the form {form!r}; it reads {have}")
    if form is None:
        form = OURS if not suite.formats or _is_ours(path) else suite.formats[0]
    return read_predictions(path) if form == OURS else prediction_format(form)(path, samples)


def _is_ours(path: Path) -> bool:
    """Whether the first line is an object with our two fields; some scorers take a folder of files."""
    if path.is_dir():
        return False
    first = next((line for line in read_text(path).split("\n") if line.strip()), "")
    try:
        row = json.loads(first)
    except ValueError:
        return False  # the beginning of a JSON document over several lines
    return isinstance(row, dict) and {"id", "output"} <= set(row)


def _whole(text: str) -> str:
    """Text that UTF-8 can hold: JSON may name half a surrogate pair, which stands for no character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def match_predictions(
    predictions: dict[str, list[str]], samples: Sequence[Sample], suite: str
) -> tuple[list[list[Output]], list[str]]:
    """Outputs in the order of the samples, and the ids without one (scored as not right, never left out).

    Raises UserError for no prediction at all, ids that the suite does not have, and differing numbers of answers.
    """
    if not predictions:
        raise UserError(f"the file holds no predictions for suite {suite!r}; its ids look like {samples[0].id!r}")
    known = {sample.id for sample in samples}
    unknown = [name for name in predictions if name not in known]
    if unknown:
        example = samples[0].id
        raise UserError(
            f"{len(unknown)} predictions have ids that suite {suite!r} does not have, first {unknown[0]!r}; "
            f"its ids look like {example!r}"
        )
    counts = {len(outputs) for outputs in predictions.values()}
    if len(counts) != 1:
        raise UserError(f"predictions give {sorted(counts)} answers a question; give the same number for each")
    runs = counts.pop()
    missing = [sample.id for sample in samples if sample.id not in predictions]
    outputs = [[Output(_whole(text)) for text in predictions.get(s.id, [])] or [Output(None)] * runs for s in samples]
    return outputs, missing
