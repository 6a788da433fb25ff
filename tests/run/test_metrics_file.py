"""metrics.jsonl: rewound at a resume, whole lines only, and never a number that is none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from mmreason.run.metrics import Metrics, read_metrics


def log(path: Path, stage: str, start: int, steps: range, scale: float = 1.0) -> None:
    metrics = Metrics(path, stage, start)
    for step in steps:
        metrics.log(step, {"loss": scale * step}, {"step": 0.123456})
    metrics.close()


def test_a_row(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log(path, "sft", 0, range(1, 2))
    assert path.read_text(encoding="utf-8") == '{"stage": "sft", "step": 1, "loss": 1.0, "time": {"step": 0.1235}}\n'


def test_opening_forgets_what_lies_beyond(tmp_path: Path) -> None:
    """The steps after the last checkpoint are run again and logged once."""
    path = tmp_path / "metrics.jsonl"
    log(path, "sft", 0, range(1, 4))
    log(path, "grpo", 0, range(1, 6))
    log(path, "grpo", 2, range(3, 5), scale=10.0)
    rows = [(row["stage"], row["step"], row["loss"]) for row in read_metrics(path)]
    sft = [("sft", 1, 1.0), ("sft", 2, 2.0), ("sft", 3, 3.0)]
    assert rows == [*sft, ("grpo", 1, 1.0), ("grpo", 2, 2.0), ("grpo", 3, 30.0), ("grpo", 4, 40.0)]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log(path, "sft", 0, range(1, 3))
    path.write_text(path.read_text(encoding="utf-8") + '{"stage": "sft", "step": 3, "lo', encoding="utf-8")
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    log(path, "sft", 2, range(3, 4))
    assert [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_stops_the_run(tmp_path: Path, bad: float) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", "grpo", 0)
    with pytest.raises(ValueError, match=r"grpo step 7: metric kl_ref is"):
        metrics.log(7, {"loss": 1.0, "kl_ref": bad}, {})
    metrics.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_row_is_on_disk_before_the_next_step(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl", "sft", 0)
    metrics.log(1, {"loss": 0.5}, {})
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1]
    metrics.close()


def test_no_file_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_numbers_come_back_exactly(tmp_path: Path) -> None:
    """Runs are compared by these numbers, so none may be rounded; timings are."""
    metrics = Metrics(tmp_path / "metrics.jsonl", "sft", 0)
    values = {"loss": 0.1 + 0.2, "tiny": 5e-324, "count": 3, "word": "净利润"}
    metrics.log(1, values, {})
    metrics.close()
    row = read_metrics(tmp_path / "metrics.jsonl")[0]
    assert {key: row[key] for key in values} == values
