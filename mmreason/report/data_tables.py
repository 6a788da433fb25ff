"""Tables of the data stage: what was read, kept and dropped by reason, and what leaked."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

LEAK_NOTES = {
    "same_text": "the whole text equal, spacing and case aside: dropped",
    "same_question": "the same question of the same document under another id: dropped",
    "twin": "the other form, open or multiple choice, of an evaluation question: dropped",
    "near_text": "nearly the same text with the same numbers: dropped",
    "media": "the same picture or clip, changed copies included: dropped",
    "reworded": "the same document, numbers and answer, put a little differently: dropped",
}


def data_sets(report: Row) -> list[Row]:
    """One row a data set, drops as (step, reason, count) from most to fewest."""
    found = []
    for facts in report.get("datasets", []):
        drops = [
            {"step": step, "reason": reason, "count": count}
            for step, reasons in facts.get("dropped", {}).items()
            for reason, count in reasons.items()
        ]
        drops.sort(key=lambda drop: (-drop["count"], drop["step"], drop["reason"]))
        found.append({**facts, "drops": drops, "num_dropped": sum(drop["count"] for drop in drops)})
    return found


def leaks(report: Row) -> list[Row]:
    """Decontamination as (found, rows) lines; the pairs of ids stay in the file."""
    if not report:
        return []
    rows = [("training rows compared", report["train"]), ("evaluation questions compared", report["eval"])]
    rows += [(LEAK_NOTES.get(kind, kind), count) for kind, count in report["kinds"].items()]
    shared = report["same_document"]
    rows += [
        ("training rows kept whose document is also evaluated", shared["train_rows"]),
        ("evaluation questions whose document also fed training", shared["eval_rows"]),
        ("evaluation questions whose document did not", shared["eval_rows_without"]),
    ]
    return [{"kind": kind, "count": count} for kind, count in rows]
