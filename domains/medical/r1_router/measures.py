"""What an evaluation says of routing: which bases were asked in which place, how often, and what it cost.

`tables` is the recipe's `measures: r1_router/measures.py:tables`; `answers` and `summarise` serve the reproduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.project import load_module

settings = load_module(Path(__file__).parent / "settings.py")
Step, NONE = settings.Step, settings.NONE

Answer = Mapping[str, Any]
COLUMNS = {
    "questions": "answers",
    "accuracy": "accuracy",
    "routing": "right base, by step",
    "routed": "all bases right",
    "calls": "calls",
    "spare": "calls beyond the solution",
    "failed": "plans not carried out",
    "ended": "with a final answer",
    "tokens": "tokens said",
}
"""Measure -> heading."""


def answers(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry an answer of a sample file: `right`, `named` (bases asked, in order), `wanted` (bases of the solution,
    None where it is not known), `failed` plans, `ended`, `tokens`, `hops`."""
    return [
        {
            "right": float(run["outcome"] == "right"),
            "named": [turn["base"] for turn in run.get("turns", []) if turn.get("base")],
            "wanted": record["doc"]["metadata"].get("bases"),
            "failed": sum(bool(turn.get("fault")) for turn in run.get("turns", [])),
            "ended": float(run["stop"] != "length" and _demands(run)[-2:-1] == [Step.FINAL]),
            "tokens": run["tokens"],
            "hops": len(record["doc"]["metadata"].get("bases") or ()),
        }
        for record in records
        for run in record["runs"]
    ]


def _demands(run: Mapping[str, Any]) -> list[str]:
    """What was demanded behind each turn."""
    return [turn.get("next", "") for turn in run.get("turns", [])]


def routing(answer: Answer) -> float | None:
    """Share of the solution's bases that were named in their place; None where none is known."""
    wanted, named = answer["wanted"], answer["named"]
    if not wanted:
        return None
    return fmean(float(place < len(named) and named[place] == base) for place, base in enumerate(wanted))


def summarise(given: Sequence[Answer]) -> dict[str, float | None]:
    """Each measure of COLUMNS as a mean; None where nothing is known."""
    known = [answer for answer in given if answer["wanted"]]
    return {
        "questions": len(given),
        "accuracy": _mean(answer["right"] for answer in given),
        "routing": _mean(map(routing, known)),
        "routed": _mean(float(answer["named"] == answer["wanted"]) for answer in known),
        "calls": _mean(len(answer["named"]) for answer in given),
        "spare": _mean(len(answer["named"]) - len(answer["wanted"]) for answer in known),
        "failed": _mean(answer["failed"] for answer in given),
        "ended": _mean(answer["ended"] for answer in given),
        "tokens": _mean(answer["tokens"] for answer in given),
    }


def by_place(given: Sequence[Answer]) -> list[tuple[int, str, int, dict[str, float]]]:
    """(place from 1, right base, questions, base -> share that named it there); "none" where nothing was asked."""
    rows: dict[tuple[int, str], list[str]] = {}
    for answer in given:
        for place, base in enumerate(answer["wanted"] or ()):
            named = answer["named"][place] if place < len(answer["named"]) else NONE
            rows.setdefault((place + 1, base), []).append(named)
    bases = sorted({base for _, base in rows} | {name for names in rows.values() for name in names})
    return [
        (place, base, len(names), {name: names.count(name) / len(names) for name in bases})
        for (place, base), names in sorted(rows.items())
    ]


def tables(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For the report: routing by stage and by length of the solution, and what was asked in place of what."""
    given = {stage: answers(records) for stage, records in stages.items()}
    rows = [[stage, *summarise(own).values()] for stage, own in given.items()]
    note = "A step is right where the base of the solution was named in its place."
    made = [_table("Routing", note, ["stage", *COLUMNS.values()], rows)]
    apart = [
        [stage, hops, *(summarise(own)[name] for name in ("questions", "accuracy", "routing", "calls"))]
        for stage, answers_ in given.items()
        for hops in sorted({answer["hops"] for answer in answers_} - {0})
        for own in [[answer for answer in answers_ if answer["hops"] == hops]]
    ]
    heads = ["stage", "steps", *(COLUMNS[name] for name in ("questions", "accuracy", "routing", "calls"))]
    made.append(_table("Routing by length of the solution", "", heads, apart))
    for stage, own in given.items():
        placed = by_place(own)
        names = sorted({name for *_, shares in placed for name in shares})
        cells = [
            [place, base, count, *(shares.get(name, 0.0) for name in names)] for place, base, count, shares in placed
        ]
        heads = ["step", "right base", "answers", *names]
        made.append(_table(f"What was asked, {stage}", "Shares of the answers that named each base.", heads, cells))
    return [table for table in made if table["rows"]]


def _table(title: str, note: str, columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    return {"title": title, "note": note, "columns": columns, "rows": rows}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
