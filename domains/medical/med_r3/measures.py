"""Tables of an evaluation with searches: how often, of which sources, and what was right.

`tables` is the recipe's `measures: med_r3/measures.py:tables`; `answers` and `summarise` serve the reproduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

Answer = Mapping[str, Any]
COLUMNS = {
    "questions": "answers",
    "accuracy": "accuracy",
    "calls": "searches",
    "searched": "with a search",
    "reliable": "first hit of the best source",
    "evidence": "evidence (Q)",
    "forced": "answer forced",
    "faults": "malformed or forged",
    "down": "search failed",
    "tokens": "tokens said",
}
"""Measure -> heading."""


def answers(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry an answer, from the records of an evaluation's sample file."""
    return [
        {
            "right": float(run["outcome"] == "right"),
            "kinds": [turn.get("kind") for turn in run.get("turns") or [] if turn.get("kind")],
            "parts": run.get("parts") or {},
            "tokens": run["tokens"],
        }
        for record in records
        for run in record["runs"]
    ]


def summarise(given: Sequence[Answer]) -> dict[str, float | None]:
    """Each measure of COLUMNS as a mean over answers; of the best source over answers with a search."""
    calls = [sum(kind in ("search", "down") for kind in one["kinds"]) for one in given]
    looked = [one for one, count in zip(given, calls, strict=True) if count]
    return {
        "questions": len(given),
        "accuracy": _mean(one["right"] for one in given),
        "calls": _mean(calls),
        "searched": _mean(count > 0 for count in calls),
        "reliable": _mean(one["parts"].get("reliable", 0.0) for one in looked),
        "evidence": _mean(one["parts"].get("evidence", 0.0) for one in given),
        "forced": _mean("forced" in one["kinds"] for one in given),
        "faults": _mean(bool({"bad", "forged", "over"} & set(one["kinds"])) for one in given),
        "down": _mean("down" in one["kinds"] for one in given),
        "tokens": _mean(one["tokens"] for one in given),
    }


def tables(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For the report: the measures by stage, and accuracy by number of searches."""
    given = {stage: answers(records) for stage, records in stages.items()}
    rows = [[stage, *summarise(own).values()] for stage, own in given.items() if own]
    note = "Means over answers. The best source is the one with the highest evidence weight."
    made = [{"title": "Searches", "note": note, "columns": ["stage", *COLUMNS.values()], "rows": rows}]
    apart = [
        [stage, count, len(own), _mean(one["right"] for one in own)]
        for stage, every in given.items()
        for count, own in sorted(_by_calls(every).items())
    ]
    heads = ["stage", "searches", "answers", "accuracy"]
    return [*made, {"title": "Accuracy by number of searches", "note": "", "columns": heads, "rows": apart}]


def _by_calls(given: Sequence[Answer]) -> dict[int, list[Answer]]:
    apart: dict[int, list[Answer]] = {}
    for one in given:
        apart.setdefault(one["kinds"].count("search"), []).append(one)
    return apart


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return fmean(known) if known else None
