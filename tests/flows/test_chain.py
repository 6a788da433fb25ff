"""A recipe of three stages, RL after cold start after cold start, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmreason.cli_job import Job, resolve
from mmreason.cli_plan import plan_text
from mmreason.cli_run import travel
from mmreason.errors import UserError
from mmreason.project import project_dir

STAGES: list[dict[str, Any]] = [
    {"name": "see", "kind": "sft"},
    {"name": "sharpen", "kind": "grpo", "settings": {"grpo.steps": 1}},
    {"name": "again", "kind": "sft", "settings": {"sft.target": "answer", "seeds.data": 3}},
]
SMALL = ("sft.max_steps=2", "sft.batch=4", "grpo.prompts=2", "grpo.group_size=2", "eval.limit=4")
SMALLER = (
    "options.shapes.items=40",
    "grpo.sampling.max_new_tokens=8",
    "eval.sampling.max_new_tokens=8",
    "data.eval_fraction=0.02",
)


def job(folder: Path, stages: list[dict[str, Any]] = STAGES) -> Job:
    """The shapes system with stages, in a recipe file of its own."""
    shapes = project_dir() / "domains" / "general" / "shapes" / "recipe.yaml"
    values = yaml.safe_load(shapes.read_text(encoding="utf-8"))
    values |= {"domain": str(shapes.parent.parent), "stages": stages}
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return resolve(str(file), "cpu", None, folder / "run", [*SMALL, *SMALLER])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished chain."""
    folder = tmp_path_factory.mktemp("chain")
    travel(job(folder), None, False)
    return folder


def manifest(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_each_stage_begins_at_the_one_before(done: Path) -> None:
    homes = [done / "run" / name for name in ("1_see", "2_sharpen", "3_again")]
    recipes = [manifest(home)["settings"]["recipe"] for home in homes]
    assert recipes[0]["model"]["tiny"] and recipes[0]["grpo"] is None
    assert recipes[1]["model"]["path"] == str(homes[0] / "checkpoints" / "sft" / "final") and recipes[1]["sft"] is None
    assert recipes[2]["model"]["path"] == str(homes[1] / "checkpoints" / "grpo" / "final")
    assert (recipes[2]["sft"]["target"], recipes[0]["sft"]["target"]) == ("answer", "chain")
    stages = [list(manifest(home)["stages"]) for home in homes]
    assert stages[0] == ["data", "eval_base", "sft", "eval_sft", "report"]
    assert stages[1] == ["data", "grpo", "eval_grpo", "report"]


def test_the_report_has_every_stage_and_links_to_theirs(done: Path) -> None:
    page = (done / "run" / "report.html").read_text(encoding="utf-8")
    for name in ("base", "see", "sharpen", "again"):
        assert f"<td>{name}</td>" in page
    assert 'href="2_sharpen/report.html"' in page and (done / "run" / "2_sharpen" / "report.html").is_file()
    later = (done / "run" / "2_sharpen" / "report.html").read_text(encoding="utf-8")
    assert "is not complete" not in later and "is not evaluated" not in later


def test_run_again_nothing_is_done_twice(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = done / "run" / "3_again" / "checkpoints" / "sft" / "final" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    travel(job(done), None, False)
    assert weights.stat().st_mtime_ns == before
    assert capsys.readouterr().err.count("finished before, not run again") == 4 + 3 + 3


def test_a_stage_is_a_run_that_commands_take_by_itself(done: Path) -> None:
    home = done / "run" / "2_sharpen"
    alone = resolve(str(home / "recipe.yaml"), "stage", None, home, [])
    travel(alone, ["grpo"], False)  # finished, with the same settings, else it would be refused
    assert alone.recipe.grpo is not None and alone.recipe.grpo.steps == 1


def test_the_plan_names_all_stages(tmp_path: Path) -> None:
    plan = plan_text(job(tmp_path))
    assert [line for line in plan.splitlines() if line.startswith("stage ")] == [
        "stage 1: see",
        "stage 2: sharpen",
        "stage 3: again",
    ]
    assert "1_see/checkpoints/sft/final" in plan and "sft        2 steps" in plan and "grpo       1 steps" in plan


def test_what_does_not_fit_is_said_before_anything_runs(tmp_path: Path) -> None:
    for stages, why in (
        ([{"name": "a", "kind": "grpo"}, {"name": "a", "kind": "sft"}], "a name of its own"),
        ([{"name": "a", "kind": "grpo", "settings": {"grpo.stepps": 3}}], "stage a: unknown key 'grpo.stepps'"),
        ([{"name": "a", "kind": "sft", "settings": {"data.embedded": ["nothing"]}}], "nothing"),
        ([{"name": "A b", "kind": "sft"}], "stages.0.name"),
        ([{"name": "a", "kind": "rl"}], "stages.0.kind"),
    ):
        with pytest.raises(UserError, match=why):
            job(tmp_path, stages)
    with pytest.raises(UserError, match="trains in stages: use `mmreason run`"):
        travel(job(tmp_path), ["grpo"], False)
