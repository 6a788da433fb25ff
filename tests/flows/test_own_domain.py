"""A domain of one's own, from nothing to a report, through the command; docs/own-data.md is this test in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from conftest import Cli, OwnRun

ROOT = Path(__file__).resolve().parents[2]


def read(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_twenty_rows_become_a_report(own_run: OwnRun) -> None:
    assert own_run.done.returncode == 0, own_run.done.stderr
    run, own_domain = own_run.folder, own_run.domain
    names = {
        path.relative_to(own_domain).as_posix() for path in own_domain.rglob("*") if "__pycache__" not in str(path)
    }
    assert names == {"domain.yaml", "sources.yaml", "prompt.txt", "rewards.py", "rows.jsonl", "pictures"} | {
        f"pictures/{n}.png" for n in range(8)
    }  # nothing was written into the domain's folder

    manifest = read(run / "manifest.json")
    assert manifest["system"] == "shop"
    assert {"data", "sft", "grpo", "eval_base", "eval_sft", "eval_grpo", "report"} == set(manifest["stages"])

    rows = pq.read_table(run / "data" / "sft.parquet").to_pylist()
    ids = {row["id"] for row in rows}
    assert len(ids) == len(rows)
    assert 10 <= len(rows) <= 20  # the rest is held out
    assert any(row["media"] for row in rows)

    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in metrics if row["stage"] == "sft"] == [1, 2, 3, 4]
    assert [row["step"] for row in metrics if row["stage"] == "grpo"] == [1, 2]

    rollouts = pq.read_table(run / "rollouts" / "step_000001.parquet").to_pylist()
    assert len(rollouts) == 2 * 2
    for stage in ("sft", "grpo"):
        assert (run / "checkpoints" / stage / "final" / "model.safetensors").is_file()
        assert list((run / "eval" / stage).glob("*.json"))
    assert "it knows nothing of the world" in (run / "report.html").read_text(encoding="utf-8")


def test_the_page_tells_of_the_same_files(own_domain: Path) -> None:
    page = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
    for name in ("domain.yaml", "sources.yaml", "prompt.txt"):
        assert (own_domain / name).read_text(encoding="utf-8").strip() in page, name
    reward = (own_domain / "rewards.py").read_text(encoding="utf-8").partition("def ")[2]
    assert reward.strip() in page
    for line in (own_domain / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        if '"sum-3"' in line or '"picture-0"' in line:
            assert line in page


def test_the_same_command_again_does_nothing_twice(cli: Cli, own_run: OwnRun) -> None:
    weights = own_run.folder / "checkpoints" / "grpo" / "final" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    done = cli(*own_run.words)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished before") == 6
    assert weights.stat().st_mtime_ns == before


def test_the_domains_reward_reaches_the_rollouts(own_run: OwnRun) -> None:
    """A tenth for at most 40 characters, one for the right answer."""
    for path in sorted((own_run.folder / "rollouts").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            right = 1.0 if row["outcome"] == "right" else 0.0
            assert row["reward"] == pytest.approx(right + (0.1 if len(row["text"]) <= 40 else 0.0))


def test_the_rollouts_can_be_viewed(cli: Cli, own_run: OwnRun) -> None:
    done = cli("view", str(own_run.folder))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.removeprefix("viewer: ").strip()).is_file()


def test_a_checkpoint_is_evaluated_alone_and_compared(cli: Cli, own_run: OwnRun, tmp_path: Path) -> None:
    model = own_run.folder / "checkpoints" / "grpo" / "final"
    words = ["--suite", "own", "--system", str(own_run.domain), "--out", str(tmp_path / "eval")]
    done = cli("eval", "--model", str(model), *words, "eval.sampling.max_new_tokens=12")
    assert done.returncode == 0, done.stderr
    there, here = own_run.folder / "eval" / "grpo" / "own.json", tmp_path / "eval" / "eval" / "model" / "own.json"
    assert read(there)["results"] == read(here)["results"]
    done = cli("compare", str(there), str(here))
    assert done.returncode == 0, done.stderr
    assert "difference +0.0" in done.stdout
