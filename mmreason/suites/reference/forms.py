"""Shared by the readers of scorers' own predictions files, and the means that their totals print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import collect, parse_json, read_lines, read_text
from mmreason.suites.references import Scored


def objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a JSON array, of an object of objects, or of JSON lines, each with its place for messages.

    An object of objects gives its keys as the field "id" where an object has none of its own.
    """
    if path.suffix == ".jsonl":
        return read_lines(path)
    value = parse_json(read_text(path), str(path))
    if isinstance(value, dict):
        value = [{"id": key, **one} if isinstance(one, dict) else one for key, one in value.items()]
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UserError(f"{path} is no JSON array of objects and no object of objects")
    return [(f"{path} item {number}", one) for number, one in enumerate(value, start=1)]


def pairs(path: Path) -> list[tuple[str, str, Any]]:
    """(place, key, value) of one flat JSON object."""
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path} is {type(value).__name__}, expected one JSON object of id: answer")
    return [(f"{path} key {key!r}", key, one) for key, one in value.items()]


def field(where: str, row: dict[str, Any], *names: str) -> Any:
    """The first of `names` that the row has. Raises UserError naming them all."""
    for name in names:
        if name in row:
            return row[name]
    raise UserError(f"{where} has {sorted(row)}, expected the field {' or '.join(map(repr, names))}")


def text(value: Any) -> str:
    """An answer as text; a scorer that writes null means an empty one."""
    return "" if value is None else str(value)


def named(samples: Sequence[Sample], found: Iterable[tuple[str, Any, Any]]) -> dict[str, list[str]]:
    """Sample id -> outputs, from (place, released id, answer). Ids that no sample has are kept, to be refused."""
    ids = {sample.source.row: sample.id for sample in samples}
    return collect([(where, ids.get(str(row), str(row)), [text(answer)]) for where, row, answer in found])


def mean(scored: Iterable[Scored]) -> float:
    """Mean over the items that the scorer counts; 0 where it counts none."""
    values = [one.value for one in scored if one.value is not None]
    return sum(values) / len(values) if values else 0.0


def grouped(scored: Sequence[Scored], *keys: str) -> dict[tuple[str, ...], list[Scored]]:
    """The answers by the values of metadata keys, in order of first appearance."""
    parts: dict[tuple[str, ...], list[Scored]] = defaultdict(list)
    for one in scored:
        parts[tuple(str(one.sample.metadata.get(key, "(none)")) for key in keys)].append(one)
    return dict(parts)


def means(scored: Sequence[Scored], key: str) -> dict[str, float]:
    """Value of a metadata key -> mean."""
    return {values[0]: mean(part) for values, part in grouped(scored, key).items()}
