"""`mmreason run fleming-r1` from a made-up world to the report of the chain, as small as it can be: the second stage of
RL is mined from the answers of the first."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmreason.cli_job import resolve
from mmreason.cli_run import travel

SMALL = {
    "options.rods_facts.items": 40,
    "options.fleming_taught.items": 40,
    "options.fleming_world.items": 60,
    "options.fleming_r1.mining.right": 0,
    "sft.max_steps": 2,
    "sft.batch": 4,
    "grpo.steps": 2,
    "grpo.prompts": 3,
    "grpo.sampling.max_new_tokens": 6,
    "eval.sampling.max_new_tokens": 6,
    "eval.limit": 2,
    "data.selection.k": 2,
}
PAIRS = [f"{key}={value}" for key, value in SMALL.items()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("fleming") / "run"
    travel(resolve("fleming-r1", "cpu", None, path, PAIRS), None, False)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return made


def metadata(row: dict[str, Any]) -> dict[str, Any]:
    found = row["metadata"]
    return json.loads(found) if isinstance(found, str) else dict(found)


@pytest.mark.slow
def test_stage_one_is_blended_and_stage_two_mined(out: Path) -> None:
    first = Counter(metadata(row)["tier"] for row in rows(out / "2_first" / "data" / "rl.parquet"))
    assert set(first) == {"easy", "moderate"} and first["easy"] < 2 * first["moderate"]  # tests took some of the latter
    mined = rows(out / "3_second" / "data" / "rl_variance.parquet")
    assert mined and {metadata(row)["source"] for row in mined} == {"mining"}
    facts = json.loads((out / "3_second" / "data" / "variance.json").read_text())
    assert facts["rule"] == "fleming_r1/mining.py:pool" and facts["kept"] == len(mined) and facts["k"] == 2
    assert sum(facts["counts"].get(side, 0) for side in ("wrong", "middle", "right")) == facts["candidates"]


@pytest.mark.slow
def test_the_mined_order_is_the_order_of_training_and_answers_are_doubled(out: Path) -> None:
    order = [row["id"] for row in rows(out / "3_second" / "data" / "rl_variance.parquet")]
    for step in (1, 2):
        sampled = rows(out / "3_second" / "rollouts" / f"step_{step:06d}.parquet")
        asked = list(dict.fromkeys(row["sample_id"] for row in sampled))
        assert asked == order[3 * (step - 1) : 3 * step] and len(sampled) == 3 * 16
    assert len(rows(out / "2_first" / "rollouts" / "step_000001.parquet")) == 3 * 8


@pytest.mark.slow
def test_run_again_nothing_is_done_twice(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    travel(resolve("fleming-r1", "cpu", None, out, PAIRS), None, False)
    assert capsys.readouterr().err.count("finished before, not run again") == 4 + 3 + 4
    assert (out / "report.html").is_file() and (out / "3_second" / "report.html").is_file()
