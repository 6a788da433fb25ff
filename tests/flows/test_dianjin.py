"""`mmreason run dianjin-r1` as a process: the run folder it leaves, and a killed run that equals an unbroken one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
SFT_STEPS, GRPO_STEPS = 60, 10
# Bare answers and the accuracy reward alone: within 60 steps some groups are mixed, so that GRPO has a gradient.
TINY = [
    "options.ledger.items=120",
    *(f"model.tiny.{key}={value}" for key, value in {"hidden": 32, "layers": 1, "ffn": 64}.items()),
    *("sft.target=answer", "data.rl_kinds=[choice]", "grpo.reward.mode=accuracy"),
    *(f"sft.max_steps={SFT_STEPS}", "sft.batch=16", "sft.micro_batch=16", "sft.save_every=10"),
    *(f"grpo.steps={GRPO_STEPS}", "grpo.prompts=4", "grpo.group_size=4", "grpo.save_every=3"),
    *("grpo.sampling.max_new_tokens=12", "eval.sampling.max_new_tokens=12"),
    *("eval.embedded_suites=[ledger_mcq]", "eval.limit=8", "launch.threads=1"),
]
FILES = ("manifest.json", "metrics.jsonl", "report.html", "card.md", "rollouts.html")
DATA_FILES = ("sft.parquet", "rl.parquet", "dropped.jsonl", "report.json", "decontamination.json")


def command(out: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "mmreason.cli", "run", "dianjin-r1", "--out", str(out), *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(out: Path, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *words), cwd=out.parent, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def metrics(out: Path) -> list[dict[str, Any]]:
    """Whole rows so far, without timings."""
    path = out / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]


def at(out: Path, stage: str) -> int:
    """Last step of a stage in the metrics."""
    return max((row["step"] for row in metrics(out) if row["stage"] == stage), default=0)


def run_until(out: Path, stage: str, step: int) -> None:
    """Start a run and kill it with SIGKILL as soon as it logged `step` of `stage`."""
    with (out.parent / "killed.log").open("w") as log:
        process = subprocess.Popen(command(out, *TINY), cwd=out.parent, env=environment(), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while at(out, stage) < step:
            assert process.poll() is None, (out.parent / "killed.log").read_text()
            assert time.monotonic() < deadline, f"{stage} did not reach step {step}"
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert not (out / "checkpoints" / stage / "final").exists(), "the stage ended before it was killed"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "out"
    done = run(out, *TINY)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, killed between two checkpoints of the cold start and again between two of GRPO."""
    out = tmp_path_factory.mktemp("killed") / "out"
    run_until(out, "sft", 15)
    run_until(out, "grpo", 5)
    done = run(out, *TINY)
    assert done.returncode == 0, done.stderr
    assert "sft: finished before" in done.stderr
    return out


def test_a_run_leaves_the_run_folder(unbroken: Path) -> None:
    assert [name for name in FILES if not (unbroken / name).is_file()] == []
    assert [name for name in DATA_FILES if not (unbroken / "data" / name).is_file()] == []
    for stage in ("sft", "grpo"):
        final = unbroken / "checkpoints" / stage / "final"
        names = {path.name for path in final.iterdir()}
        assert {"config.json", "model.safetensors", "tokenizer.json", "protocol.json"} <= names
        assert len(list((unbroken / "checkpoints" / stage).glob("step_*"))) == 2
    assert [p.name for p in sorted((unbroken / "rollouts").glob("*"))] == [
        f"step_{step:06d}.parquet" for step in range(1, GRPO_STEPS + 1)
    ]
    for stage in ("base", "sft", "grpo"):
        result = json.loads((unbroken / "eval" / stage / "ledger_mcq.json").read_text(encoding="utf-8"))
        assert 0.0 <= result["results"]["ledger_mcq"]["unread_rate,none"] <= 1.0
    steps = [(row["stage"], row["step"]) for row in metrics(unbroken)]
    assert steps == [("sft", n + 1) for n in range(SFT_STEPS)] + [("grpo", n + 1) for n in range(GRPO_STEPS)]


def test_the_manifest_says_what_ran(unbroken: Path) -> None:
    manifest = json.loads((unbroken / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["system"] == "dianjin-r1"
    assert manifest["settings"]["recipe"]["sft"]["max_steps"] == SFT_STEPS
    assert manifest["seeds"] == {"weights": 0, "data": 0, "sampling": 0}
    assert {"data", "sft", "grpo", "eval_base", "eval_sft", "eval_grpo", "report"} == set(manifest["stages"])
    for stage in ("sft", "grpo"):
        protocol = (unbroken / "checkpoints" / stage / "final" / "protocol.json").read_text(encoding="utf-8")
        assert json.loads(protocol)["hash"] == manifest["protocol"]


def test_the_run_learnt_and_counted(unbroken: Path) -> None:
    """Without a gradient the comparison of killed and unbroken runs would show nothing."""
    sft = [row["loss"] for row in metrics(unbroken) if row["stage"] == "sft"]
    assert sft[-1] < 0.5 * sft[0]
    grpo = [row for row in metrics(unbroken) if row["stage"] == "grpo"]
    assert any(row["zero_advantage_groups"] < 1.0 for row in grpo)
    assert all(row["prefills"] == 4 for row in grpo)  # 4 prompts, 16 answers
    assert max(row["logprob_gap_max"] for row in grpo) < 1e-4
    before, after = (weights(unbroken, stage) for stage in ("sft", "grpo"))
    assert before != after


def weights(out: Path, stage: str) -> bytes:
    return (out / "checkpoints" / stage / "final" / "model.safetensors").read_bytes()


def test_a_killed_run_has_the_same_metrics(unbroken: Path, killed: Path) -> None:
    assert metrics(killed) == metrics(unbroken)


def test_a_killed_run_has_the_same_rollouts(unbroken: Path, killed: Path) -> None:
    for step in range(1, GRPO_STEPS + 1):
        name = f"rollouts/step_{step:06d}.parquet"
        assert pq.read_table(killed / name).equals(pq.read_table(unbroken / name)), name


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_killed_run_has_the_same_weights(unbroken: Path, killed: Path, stage: str) -> None:
    assert weights(killed, stage) == weights(unbroken, stage)


def test_a_killed_run_leaves_no_half_written_files(killed: Path) -> None:
    assert [path for path in killed.rglob("*.part")] == []


def test_a_killed_run_has_the_same_scores(unbroken: Path, killed: Path) -> None:
    for stage in ("base", "sft", "grpo"):
        name = f"eval/{stage}/ledger_mcq.json"
        pair = [json.loads((out / name).read_text(encoding="utf-8"))["results"] for out in (killed, unbroken)]
        assert pair[0] == pair[1]


# Later settings win. Two sets and few steps: the whole of it takes minutes. RL lives on the multiple choice of CFLUE.
REAL = [*TINY, "data.pipelines=[finqa,cflue_mcq]", "eval.suites=[finqa]", "model.tiny.vocab=512"]
REAL += ["sft.max_steps=4", "sft.batch=4", "grpo.steps=2", "grpo.prompts=2"]


@pytest.mark.slow
def test_real_rows_make_the_same_folder(real_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(out, "--data", str(real_data), *REAL, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [name for name in FILES if not (out / name).is_file()] == []
    leaks = json.loads((out / "data" / "decontamination.json").read_text(encoding="utf-8"))
    assert leaks["dropped"] == sum(leaks["kinds"].values()) > 0  # FinQA's dev split repeats itself
    assert leaks["same_document"]["eval_rows"] > leaks["same_document"]["eval_rows_without"] > 0
    report = json.loads((out / "data" / "report.json").read_text(encoding="utf-8"))
    assert {entry["name"] for entry in report["datasets"]} == {"finqa", "cflue_mcq"}

    summary = json.loads((out / "eval/sft/finqa.json").read_text(encoding="utf-8"))["mmreason"]["summary"]
    seen = summary["by_training_document"]
    assert seen["in_train"]["questions"] + seen["not_in_train"]["questions"] == summary["questions"] == 8
    lines = [line for line in done.stderr.splitlines() if line.startswith("finqa: ")]
    for stage, printed in zip(("base", "sft", "grpo"), lines, strict=True):  # scores and unread rates as they are
        found = json.loads((out / "eval" / stage / "finqa.json").read_text(encoding="utf-8"))["results"]["finqa"]
        assert f"unread {100 * found['unread_rate,none']:.1f} %" in printed
        assert "subset 8 of 883" in printed
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "evaluation questions whose document also fed training" in page
    assert "evaluation questions whose document did not" in page
