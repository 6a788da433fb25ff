"""What an evaluation says of the evidence: how often and how purely frames were selected, and what that cost.

`tables` is the recipe's `measures: earl/measures.py:tables`; `answers`, `summarise` and `by` serve the reproduction.
An answer is {"right": bool or share, "turns": its turns with what the environment noted, "tokens": the model's own,
"gold": number of gold frames (0: none known), "visual_tokens": of prompt and replies (0: not known)}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

Answer = Mapping[str, Any]
COLUMNS = {
    "questions": "answers",
    "accuracy": "accuracy",
    "selection_rate": "with a selection",
    "rounds": "selections",
    "errors": "failed calls",
    "selected": "frames a selection",
    "iou": "IoU",
    "iou_selected": "IoU where selected",
    "frames": "frames seen",
    "visual_tokens": "visual tokens",
    "tokens": "tokens said",
}
"""Measure -> heading."""


def answers(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry an answer, from the records of an evaluation's sample file."""
    return [
        {
            "right": float(run["outcome"] == "right"),
            "turns": run.get("turns", []),
            "tokens": run["tokens"],
            "gold": int(run.get("parts", {}).get("gold", 0)),
            "visual_tokens": run.get("visual_tokens", 0),
            "grid": run.get("parts", {}).get("frames", 0.0) - sum(len(call["refined"]["frames"]) for call in done(run)),
        }
        for record in records
        for run in record["runs"]
    ]


def done(answer: Answer) -> list[Mapping[str, Any]]:
    """The calls whose frames were shown: one in the very last turn never was."""
    return [turn for turn in answer.get("turns", [])[:-1] if turn.get("kind") == "call"]


def iou(answer: Answer) -> float | None:
    """Mean over the rounds with gold among their frames, 0 without a selection; None where no gold is known."""
    known = [call["iou"] for call in done(answer) if call["iou"] is not None]
    return fmean(known) if known else 0.0 if answer["gold"] else None


def summarise(given: Sequence[Answer]) -> dict[str, float | None]:
    """Each measure of COLUMNS as a mean; None where nothing is known. IoU counts answers with known gold frames."""
    selecting = [answer for answer in given if done(answer)]
    every = [call for answer in given for call in done(answer)]
    failed = [sum(turn.get("kind") == "error" for turn in answer["turns"]) for answer in given]
    return {
        "questions": len(given),
        "accuracy": _mean(answer["right"] for answer in given),
        "selection_rate": len(selecting) / len(given) if given else None,
        "rounds": _mean(len(done(answer)) for answer in given),
        "errors": _mean(failed),
        "selected": _mean(len(call["selected"]) for call in every),
        "iou": _mean(map(iou, given)),
        "iou_selected": _mean(map(iou, selecting)),
        "frames": _mean(map(_frames, given)),
        "visual_tokens": _mean(answer.get("visual_tokens") or None for answer in given),
        "tokens": _mean(answer["tokens"] for answer in given),
    }


def _frames(answer: Answer) -> float | None:
    """Frames of all rounds and of the grid; None where the grid is not known."""
    first = next((len(turn["shown"]["frames"]) for turn in answer["turns"] if "shown" in turn), answer.get("grid"))
    return first + sum(len(call["refined"]["frames"]) for call in done(answer)) if first else None


def by(given: Sequence[Answer], what: str) -> dict[int, dict[str, float | None]]:
    """The measures apart by "gold" (number of gold frames, where known) or "rounds" (selections made), ascending."""
    key = (lambda answer: answer["gold"]) if what == "gold" else (lambda answer: len(done(answer)))
    numbers = sorted({key(answer) for answer in given} - ({0} if what == "gold" else set()))
    return {number: summarise([answer for answer in given if key(answer) == number]) for number in numbers}


def tables(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For the report: the measures by stage, IoU by number of gold frames, accuracy by selections.

    `stages` maps a stage or control to the records of its sample file.
    """
    given = {stage: answers(records) for stage, records in stages.items()}
    heads = ["stage", *COLUMNS.values()]
    rows = [[stage, *summarise(own).values()] for stage, own in given.items()]
    made = [
        _table("Evidence", "IoU of selected with gold frames, 0 without a selection; means over answers.", heads, rows)
    ]
    for what, measures in (("gold", ("iou", "iou_selected", "accuracy")), ("rounds", ("accuracy", "iou", "frames"))):
        title = "Purity by number of gold frames" if what == "gold" else "Accuracy by number of selections"
        heads = ["stage", "gold frames" if what == "gold" else "selections", "answers"]
        apart = [(stage, number, row) for stage, own in given.items() for number, row in by(own, what).items()]
        cells = [[stage, number, row["questions"], *(row[name] for name in measures)] for stage, number, row in apart]
        made.append(_table(title, "", [*heads, *(COLUMNS[name] for name in measures)], cells))
    return [table for table in made if table["rows"]]


def _table(title: str, note: str, columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    return {"title": title, "note": note, "columns": columns, "rows": rows}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
