"""`mmreason run earl` from clips to report, as small as it can be: real files, real turns, every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmreason.cli_job import resolve
from mmreason.cli_run import travel
from mmreason.rollout.replay import turns_of

pytest.importorskip("av", reason="clips need the extra 'video'")
SMALL = {
    "options.earl_scenes.clips": 6,
    "options.earl_captions.clips": 6,
    "options.earl_refused.clips": 4,
    "sft.max_steps": 3,
    "sft.batch": 6,
    "grpo.steps": 2,
    "grpo.prompts": 2,
    "grpo.group_size": 4,
    "eval.limit": 5,
    "grpo.sampling.max_new_tokens": 160,
    "eval.sampling.max_new_tokens": 160,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("earl") / "run"
    travel(resolve("earl", "cpu", None, path, [f"{key}={value}" for key, value in SMALL.items()]), None, False)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return made


def test_the_cold_start_holds_traces_and_rl_every_question(out: Path) -> None:
    taught = [
        json.loads(row["messages"]) if isinstance(row["messages"], str) else row["messages"]
        for row in rows(out / "data" / "sft_unverified.parquet")
    ]
    texts = [messages[-1]["parts"][0]["text"] for messages in taught]
    assert any(len(turns_of(text)) > 1 for text in texts)
    asked = rows(out / "data" / "rl.parquet")
    assert 0 < len(asked) <= 18
    report = json.loads((out / "data" / "report.json").read_text())
    assert report["totals"]["rl_other"] == report["totals"]["sft_unverified"] - len(asked)  # captions stay out of RL


def test_rollouts_keep_their_turns_and_the_parts_of_the_reward(out: Path) -> None:
    sampled = rows(out / "rollouts" / "step_000002.parquet")
    assert len(sampled) == 8
    for row in sampled:
        parts, turns = json.loads(row["parts"]), json.loads(row["turns"])
        assert row["reward"] == pytest.approx(parts["correct"] + parts["action"] + parts["relevance"])
        assert 1 <= len(turns) <= 3 and all("said" in turn for turn in turns)
        kinds = [piece["kind"] for piece in row["segments"]]
        assert kinds.count("tool") == len(turns) - 1


def test_each_prompt_is_prefilled_once_and_frames_are_counted(out: Path) -> None:
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in steps if row["stage"] == "grpo"][-1]
    assert last["prefills"] == 2 and last["prompt_forwards_per_group"] == 1.0
    assert last["unique_token_share"] < 1.0
    assert last["media/decoded_frames"] >= 0 and last["logprob_gap_max"] < 1e-3


def test_every_stage_is_judged_with_and_without_the_tool(out: Path) -> None:
    stages = {path.name for path in (out / "eval").iterdir()}
    assert stages == {name + control for name in ("sft", "grpo") for control in ("", "_no_tool")}
    for stage in ("grpo", "grpo_no_tool"):
        lines = (out / "eval" / stage / "earl_events.samples.jsonl").read_text().splitlines()
        runs = [run for line in lines for run in json.loads(line)["runs"]]
        assert len(runs) == 5 and all(run["visual_tokens"] >= 8 for run in runs)
        calls = [turn for run in runs for turn in run["turns"] if turn.get("kind") == "call"]
        assert stage == "grpo" or not calls


def test_the_pages_show_what_was_looked_at(out: Path) -> None:
    assert "data:image" in (out / "rollouts.html").read_text()
    assert "IoU" in (out / "report.html").read_text()


def test_a_finished_run_does_nothing_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    travel(resolve("earl", "cpu", None, out, [f"{key}={value}" for key, value in SMALL.items()]), None, False)
    assert capsys.readouterr().err.count("finished before, not run again") == 5
