"""A run of RL that is killed at any moment and started again equals the run that nobody killed, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmreason.project import load_module

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
small = load_module(HERE / "small_grpo.py")

STEPS = 6
KILLS = ("step:1", "row:3", "step:3", "save:4", "step:5")
"""Before the first checkpoint; in the middle of a row of metrics; between two checkpoints, with the row whole; in the
middle of a checkpoint; after one. Checkpoints are written after steps 2, 4 and 6. The first of CONFIGS dies all these
deaths, the others the last two."""
COMMON = (f"grpo.steps={STEPS}", "grpo.save_every=2", "grpo.alarms.entropy_factor=1.0", "grpo.alarms.repeat_every=2")
LASER = "{laser_d: {grid: 2, shortest: 6, longest: 14, every: 2, window: 3}}"
SPEAR = "{spear: {tools_only: false, capacity: 4, age: 3}}"
CONFIGS = {
    # ten prompts, four a step and more for refills: the stream of prompts begins anew twice and more
    "refills, two updates a step, moving average, state of two methods": (
        *("grpo.dynamic_sampling=3", "grpo.prompts_per_update=2", "grpo.reference=ema", "grpo.ema_decay=0.8"),
        *("grpo.kl_beta=0.05", "grpo.advantage=centred", f"grpo.methods=[siren, {LASER}]"),
    ),
    "adapters with dropout, methods in phases, heated tokens": (
        *("model.lora={rank: 4, alpha: 8, dropout: 0.2}", "grpo.reference=adapter_off", "grpo.kl_beta=0.05"),
        *("grpo.prompts=3", "grpo.methods=[{riskpo: {until: 3}}, {hapo: {from: 4}}]"),
    ),
    "replayed rows": (
        *("grpo.prompts=7", "grpo.advantage=centred", "grpo.mismatch=truncate", f"grpo.methods=[{SPEAR}]"),
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = small.make_project(tmp_path_factory.mktemp("resume"))
    return made


@pytest.fixture(scope="module")
def runs(project: Path) -> Path:
    """For each entry of CONFIGS the folders of an unbroken and of a killed run."""
    plan, expected = [], []
    for number, words in enumerate(CONFIGS.values()):
        kills = KILLS if number == 0 else KILLS[-2:]
        for name, moments in (("unbroken", ["end"]), ("killed", [*kills, "end"])):
            out = small.fresh(project, project / f"{name}{number}")
            plan.append({"out": str(out), "moments": moments, "words": [*COMMON, *words]})
            ends = ["exit 0" if moment == "end" else "signal 9" for moment in moments]
            expected += [f"ended {out.name} {moment}: {end}" for moment, end in zip(moments, ends, strict=True)]
    (project / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    command = [sys.executable, str(HERE / "small_grpo.py"), str(project), str(project / "plan.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("ended ")] == expected, done.stderr
    return project


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=list(CONFIGS))
def test_a_killed_run_equals_an_unbroken_one(runs: Path, number: int) -> None:
    unbroken, killed = runs / f"unbroken{number}", runs / f"killed{number}"
    rows = small.metrics(unbroken)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert any(row["grad_norm"] > 0.0 for row in rows)  # else equality would say nothing
    assert small.metrics(killed) == rows
    for step in range(1, STEPS + 1):
        assert small.rollouts(killed, step) == small.rollouts(unbroken, step), f"step {step}"
    assert small.weights(killed) == small.weights(unbroken) != small.weights_before(unbroken)
    assert kept(killed) == kept(unbroken)
    assert list(killed.rglob("*.part")) == []


def kept(out: Path) -> dict[str, bytes]:
    """Every file of the checkpoints of steps, the optimiser's moments and what methods keep among them."""
    folder = out / "checkpoints" / "grpo"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("step_*/*")}
    assert {Path(name).parts[0] for name in files} == {"step_000004", "step_000006"}
    return files


def test_the_settings_above_do_what_they_are_for(runs: Path) -> None:
    """Refills, the epoch's edge, alarms and the moving average really take place, and methods keep something."""
    out = runs / "unbroken0"
    rows = small.metrics(out)
    assert max(row["attempts"] for row in rows) > 1
    assert any("alarms" in row for row in rows)
    assert any(row["kl_ref"] > 0.0 for row in rows)
    state = read_state(out)
    assert state["updates"] > STEPS
    assert state["kept"]["drawn"] > 2 * len(small.GOLDS)
    assert all(state["kept"]["methods"].values())
    assert state["kept"]["alarms"]["given"]
    assert (out / "checkpoints/grpo/step_000006/kept.safetensors").is_file()
    assert max(row.get("method/spear/replayed", 0.0) for row in small.metrics(runs / "unbroken2")) > 0


def read_state(out: Path) -> dict[str, Any]:
    """What the last checkpoint holds beside tensors."""
    text = (out / "checkpoints" / "grpo" / f"step_{STEPS:06d}" / "state.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
