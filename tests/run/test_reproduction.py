"""Arms and seeds of a reproduction: what runs, in which order, from where, and what is written."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from mmreason.config import Recipe, load_recipe
from mmreason.errors import UserError
from mmreason.project import project_dir
from mmreason.run import reproduction
from mmreason.run.folder import RunFolder

RECIPE = load_recipe(project_dir() / "domains" / "video" / "earl" / "recipe.yaml", "cpu")
AFTER: dict[str, list[str]] = {"cold": [], "alone": [], "first": ["cold"], "second": ["first"], "other": ["cold"]}


def chosen(**options: object) -> Recipe:
    return RECIPE.model_copy(update={"options": RECIPE.options | options})


def note(file: Path, arm: str, seed: int) -> None:
    with file.open("a") as log:
        log.write(f"{arm}{seed} ")


def test_an_arm_brings_those_it_comes_after() -> None:
    assert reproduction.with_those_before(AFTER, ["second"]) == ["cold", "first", "second"]
    assert reproduction.with_those_before(AFTER, ["alone"]) == ["alone"]


def test_cold_starts_of_all_seeds_come_first(tmp_path: Path) -> None:
    log = tmp_path / "log"
    recipe = chosen(seeds=2, processes=1, arms=["second", "alone"])
    homes = reproduction.run_arms(recipe, RunFolder(tmp_path), AFTER, functools.partial(note, log))
    assert log.read_text().split() == ["cold0", "alone0", "cold1", "alone1", "first0", "first1", "second0", "second1"]
    assert list(homes) == ["cold", "alone", "first", "second"]
    assert [home.path.relative_to(tmp_path).as_posix() for home in homes["first"]] == ["seed0/first", "seed1/first"]
    reproduction.conclude(RunFolder(tmp_path), homes, {arm: {} for arm in AFTER}, {"scores": 1}, "table")
    told = json.loads((tmp_path / "reproduce.json").read_text())
    assert told == {"seeds": 2, "arms": {arm: {} for arm in homes}, "scores": 1}
    assert (tmp_path / "reproduce.md").read_text() == "table"


@pytest.mark.parametrize("count", [0, True, "2"])
def test_processes_are_a_number(tmp_path: Path, count: object) -> None:
    with pytest.raises(UserError, match=r"options\.processes"):
        reproduction.run_arms(chosen(processes=count), RunFolder(tmp_path), AFTER, functools.partial(note, tmp_path))


def test_an_arm_is_the_same_whatever_stands_beside_it() -> None:
    plain = reproduction.arm_recipe(RECIPE, {"grpo.steps": 3}, "first", 4)
    assert plain == reproduction.arm_recipe(chosen(seeds=9, arms=["first"]), {"grpo.steps": 3}, "first", 4)
    assert plain.launch.threads == 1 and plain.seeds.weights == 4 and plain.grpo is not None and plain.grpo.steps == 3


def test_the_stages_of_a_recipe_are_no_part_of_an_arm() -> None:
    staged = RECIPE.model_validate(RECIPE.model_dump() | {"stages": [{"name": "a", "kind": "grpo"}]})
    assert not reproduction.arm_recipe(staged, {}, "first", 0).stages


def test_an_arm_may_begin_at_the_model_of_another(tmp_path: Path) -> None:
    made = reproduction.begun_at(RECIPE, tmp_path)
    assert made.model.tiny is None and made.model.path == str(tmp_path) and not made.model.freeze_vision
    assert made.grpo == RECIPE.grpo


def test_imitation_has_the_updates_of_rl() -> None:
    made = reproduction.arm_recipe(RECIPE, reproduction.imitating(RECIPE), "sft", 0)
    assert made.sft is not None and made.grpo is not None
    assert (made.sft.max_steps, made.sft.batch) == (made.grpo.steps, made.grpo.prompts)
    assert made.sft.optim.lr == made.grpo.optim.lr and not made.sft.unverified
