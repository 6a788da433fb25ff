"""Measures of an evaluation, worked out by hand over four answers."""

from __future__ import annotations

from typing import Any

import pytest

from mmreason.project import load_module, project_dir

measures = load_module(project_dir() / "domains" / "video" / "earl" / "measures.py")

GRID = {"frames": list(range(16)), "seconds": []}


def call(iou: float | None, selected: int, frames: int) -> dict[str, Any]:
    back = {"frames": list(range(frames)), "tokens": 4 * frames}
    return {"kind": "call", "shown": GRID, "selected": list(range(selected)), "iou": iou, "refined": back}


ERROR = {"kind": "error", "shown": GRID, "selected": [], "iou": None, "refined": None}
SAID = {"said": "\\boxed{B}"}
ANSWERS = [
    {"right": 1.0, "turns": [call(0.5, 2, 8), call(None, 4, 6), SAID], "tokens": 30, "gold": 1, "visual_tokens": 120},
    {"right": 0.0, "turns": [ERROR, call(1.0, 1, 8), SAID], "tokens": 20, "gold": 1, "visual_tokens": 96},
    {"right": 1.0, "turns": [SAID], "tokens": 5, "gold": 2, "visual_tokens": 64, "grid": 16},
    {"right": 0.0, "turns": [call(1.0, 1, 8)], "tokens": 9, "gold": 0, "visual_tokens": 64},  # cut before it was shown
]


def test_a_summary_by_hand() -> None:
    assert measures.summarise(ANSWERS) == {
        "questions": 4,
        "accuracy": 0.5,
        "selection_rate": 0.5,
        "rounds": 0.75,
        "errors": 0.25,
        "selected": pytest.approx(7 / 3),
        "iou": pytest.approx((0.5 + 1.0 + 0.0) / 3),
        "iou_selected": 0.75,
        "frames": pytest.approx(((16 + 14) + (16 + 8) + 16 + 16) / 4),
        "visual_tokens": pytest.approx(64 + (56 + 32) / 4),
        "tokens": 16.0,
    }
    assert set(measures.summarise(ANSWERS)) == set(measures.COLUMNS) == set(measures.summarise([]))


def test_apart_by_gold_frames_and_by_selections() -> None:
    gold = measures.by(ANSWERS, "gold")
    assert {number: row["iou"] for number, row in gold.items()} == {1: 0.75, 2: 0.0}
    rounds = measures.by(ANSWERS, "rounds")
    assert {number: (row["questions"], row["accuracy"]) for number, row in rounds.items()} == {
        0: (2, 0.5),
        1: (1, 0.0),
        2: (1, 1.0),
    }


def record(run: dict[str, Any]) -> dict[str, Any]:
    return {"runs": [run]}


def test_tables_of_a_sample_file() -> None:
    """A stage whose clips' tokens are not known shows a gap, not a number."""
    parts = {"gold": 1.0, "frames": 24.0}
    selecting = {
        "outcome": "right",
        "turns": [call(1.0, 1, 8), SAID],
        "tokens": 30,
        "visual_tokens": 96,
        "parts": parts,
    }
    direct = {"outcome": "unread", "turns": [SAID], "tokens": 3, "parts": {"gold": 1.0, "frames": 16.0}}
    seen = direct | {"visual_tokens": 64}
    first, second, third = measures.tables({"sft": [record(selecting), record(seen)], "none": [record(direct)]})
    assert [len(row) == len(first["columns"]) for row in first["rows"]] == [True, True]
    assert dict(zip(first["columns"], first["rows"][0], strict=True)) == {
        **{"stage": "sft", "answers": 2, "accuracy": 0.5, "with a selection": 0.5, "selections": 0.5},
        **{"failed calls": 0.0, "frames a selection": 1.0, "IoU": 0.5, "IoU where selected": 1.0},
        **{"frames seen": 20.0, "visual tokens": 80.0, "tokens said": 16.5},
    }
    last = dict(zip(first["columns"], first["rows"][1], strict=True))
    assert (last["visual tokens"], last["frames seen"], last["frames a selection"]) == (None, 16.0, None)
    assert second["rows"] == [["sft", 1, 2, 0.5, 1.0, 0.5], ["none", 1, 1, 0.0, None, 0.0]]
    assert third["rows"] == [
        ["sft", 0, 1, 0.0, 0.0, 16.0],
        ["sft", 1, 1, 1.0, 1.0, 24.0],
        ["none", 0, 1, 0.0, 0.0, 16.0],
    ]


def test_a_suite_without_gold_has_no_purity_table() -> None:
    run = {"outcome": "right", "turns": [SAID], "tokens": 3}
    titles = [table["title"] for table in measures.tables({"sft": [record(run)]})]
    assert titles == ["Evidence", "Accuracy by number of selections"]
