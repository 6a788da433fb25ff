"""Trackers write what the run logged; the real writers are read back, absent ones name their pip line."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mmreason.errors import MissingExtra, UserError
from mmreason.run import trackers
from mmreason.run.trackers import line, numbers, open_trackers

ROWS = {1: {"reward": 0.25, "len/max": 12, "alarms": "gap: engine and trainer differ"}, 2: {"reward": 0.5}}


def write(name: str, folder: Path, start: int = 0, rows: dict[int, dict[str, object]] = ROWS) -> None:  # type: ignore[assignment]
    (tracker,) = open_trackers([name], folder, {"grpo": {"steps": 2}}, start)
    for step, values in rows.items():
        tracker.log(step, values)
    tracker.close()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_holds_numbers_words_and_settings(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="pip install 'mmreason[track]'"
    )
    write("tensorboard", tmp_path)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert scalars(tmp_path, "reward") == [(1, 0.25), (2, 0.5)]
    assert scalars(tmp_path, "len/max") == [(1, 12.0)]
    text = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert text["alarms/text_summary"] == "gap: engine and trainer differ"
    assert json.loads(text["config/text_summary"].strip("`\n")) == {"grpo": {"steps": 2}}


def test_tensorboard_forgets_what_lies_beyond_the_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'mmreason[track]'")
    write("tensorboard", tmp_path, rows={step: {"reward": float(step)} for step in (1, 2, 3)})
    write("tensorboard", tmp_path, start=1, rows={2: {"reward": 20.0}})
    assert scalars(tmp_path, "reward") == [(1, 1.0), (2, 20.0)]


def run_alone(name: str, folder: Path, start: int, steps: tuple[int, ...]) -> None:
    """Services start threads and processes of their own; a process of ours keeps them out of the other tests."""
    words = [sys.executable, "-c", CODE, name, str(folder), str(start), *map(str, steps)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


CODE = """
import sys
from pathlib import Path
from mmreason.run.trackers import open_trackers
name, folder, start, *steps = sys.argv[1:]
(tracker,) = open_trackers([name], Path(folder), {"grpo": {"steps": 2}}, int(start))
for step in steps:
    tracker.log(int(step), {"reward": int(step) / 4, "alarms": "gap: words"})
tracker.close()
"""


def test_wandb_writes_offline_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install 'mmreason[track]'")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run_alone("wandb", tmp_path, 0, (1, 2))
    run_alone("wandb", tmp_path, 2, (3,))
    kept = (tmp_path / "wandb" / "run_id").read_text(encoding="utf-8").strip()
    found = list((tmp_path / "wandb").glob(f"offline-run-*-{kept}/run-{kept}.wandb"))
    assert len(found) == 2, "both attempts carry one id, so that a sync joins them"
    assert all(b"reward" in path.read_bytes() for path in found)


def test_trackio_writes_its_data_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="pip install 'mmreason[track]'")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run_alone("trackio", tmp_path, 0, (1, 2))
    run_alone("trackio", tmp_path, 2, (3,))
    (base,) = (tmp_path / "trackio").glob("*.db")
    rows = sqlite3.connect(base).execute("select run_name, step, metrics from metrics order by step").fetchall()
    assert [(name, step) for name, step, _ in rows] == [(tmp_path.name, 1), (tmp_path.name, 2), (tmp_path.name, 3)]
    assert json.loads(rows[1][2])["reward"] == 0.5


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_an_absent_tracker_names_its_pip_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None if module == name else found(module))
    with pytest.raises(MissingExtra, match=rf"{name} is needed to log to {name}: pip install 'mmreason\[track\]'"):
        open_trackers([name], tmp_path, {})


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tracker is called 'wandbb' \(did you mean 'wandb'\?\)"):
        open_trackers(["wandbb"], tmp_path, {})


def test_the_main_process_alone_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'mmreason[track]'")
    monkeypatch.setattr(trackers, "is_main", lambda: False)
    assert open_trackers(["tensorboard"], tmp_path, {}) == []
    assert list(tmp_path.iterdir()) == []


def test_one_line_a_step() -> None:
    values = {"reward": 0.5124, "accuracy": 0.48, "length": 231.4, "entropy": 0.8314, "mismatch/gap_mean": 1.23e-5}
    assert line(values) == "reward 0.512  acc 0.480  len 231  H 0.831  gap 1.2e-05"
    timed = {"reward": 0.5, "tokens/generated": 4100.0, "alarms": "truncated: 40% of the answers are cut"}
    expected = "reward 0.500  410 tok/s  ! truncated: 40% of the answers are cut"
    assert line(timed, {"rollout": 6.0, "update": 4.0}) == expected
    assert line({}) == ""


def test_words_are_no_numbers() -> None:
    assert numbers({"reward": 0.5, "count": 3, "alarms": "gap: words"}) == {"reward": 0.5, "count": 3}
