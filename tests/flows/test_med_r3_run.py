"""`mmreason run med-r3` from a made-up world, and from real questions, to the report, as small as it can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmreason.cli_job import resolve
from mmreason.cli_run import travel

SMALL = {
    "sft.max_steps": 2,
    "sft.batch": 4,
    "grpo.steps": 1,
    "grpo.prompts": 3,
    "grpo.group_size": 4,
    "grpo.sampling.max_new_tokens": 24,
    "eval.sampling.max_new_tokens": 24,
    "eval.limit": 2,
}
STAGES = ("1_cold", "2_reasoning", "3_retrieval", "4_joint")


def pairs(**more: Any) -> list[str]:
    return [f"{key}={value}" for key, value in {**SMALL, **more}.items()]


@pytest.mark.slow
def test_three_stages_over_a_made_up_world(tmp_path: Path) -> None:
    out = tmp_path / "run"
    travel(resolve("med-r3", "cpu", None, out, pairs(**{"options.med_r3_world.items": 60})), None, False)
    made = [json.loads((out / stage / "manifest.json").read_text())["settings"]["recipe"] for stage in STAGES]
    assert [one["options"]["med_r3"]["stage"] for one in made] == ["outcome", "reasoning", "retrieval", "joint"]
    assert (out / "report.html").is_file() and (out / "1_cold" / "data" / "made" / "med_r3" / "world.jsonl").is_file()
    for stage, kind in zip(STAGES, ("sft", "grpo", "grpo", "grpo"), strict=True):
        for control in ("", "_no_search"):
            assert (out / stage / "eval" / f"{kind}{control}" / "med_r3_unknown.samples.jsonl").is_file()
    rows = pq.read_table(out / "4_joint" / "rollouts" / "step_000001.parquet").to_pylist()
    assert len(rows) == 12 and {"evidence", "reason", "calls"} <= set(json.loads(rows[0]["parts"])) | {"reason"}


@pytest.mark.slow
def test_real_questions_over_medquad(tmp_path: Path, real_data: Path) -> None:
    out = tmp_path / "run"
    travel(resolve("med-r3", "cpu", real_data, out, pairs(**{"eval.suites": "[medqa]"})), None, False)
    report = json.loads((out / "2_reasoning" / "data" / "report.json").read_text())
    assert [entry["name"] for entry in report["datasets"]] == ["med_r3_mcq", "med_r3_pubmedqa"]
    samples = pq.read_table(out / "2_reasoning" / "data" / "rl.parquet").to_pylist()
    kinds = {
        json.loads(row["answer"])["kind"] if isinstance(row["answer"], str) else row["answer"]["kind"]
        for row in samples
    }
    assert kinds == {"free", "choice", "judgement"}
    assert (out / "4_joint" / "eval" / "grpo_no_search" / "medqa.json").is_file()
