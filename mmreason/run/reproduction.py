"""The road of a reproduction: arms and seeds as run folders seed0/ARM, then reproduce.json and reproduce.md.

A system's reproduce.py says what its arms are, which of them begins where, and how they are compared:

    homes = run_arms(recipe, folder, after, functools.partial(run_arm, recipe, domain, folder.path))
    conclude(folder, homes, settings_of_arms, *measures.compare(homes))

`options.seeds`, `options.arms` and `options.processes` of the command line choose how much of it is run; whoever runs
it again goes on at the arm, stage and step where it stopped.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe, with_task
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.run.arms import choice, side_by_side, variant
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start

SEEDS = 3
PROCESSES = 2
OWN = ("seeds", "arms", "processes")
"""Options of the reproduction itself: an arm is the same whatever stands beside it."""
Homes = dict[str, list[RunFolder]]
"""Arm -> its run folders by seed."""


def run_arms(
    recipe: Recipe, folder: RunFolder, after: Mapping[str, Sequence[str]], run: Callable[[str, int], None]
) -> Homes:
    """Run the chosen arms of every seed, and those that they begin at. `after`: arm -> arms of the same seed that must
    be done before; its order is that of the tables. `run` takes arm and seed, in a process of its own.

    Raises UserError on bad options, RuntimeError naming the first arm that failed.
    """
    seeds, chosen = choice(recipe, list(after), SEEDS)
    arms = with_those_before(after, chosen)
    jobs: dict[str, Callable[[], None]] = {}
    waits: dict[str, Sequence[str]] = {}
    for depth in range(len(after)):  # cold starts of all seeds first: the most waits for them
        for seed in range(seeds):
            for arm in (arm for arm in arms if _depth(after, arm) == depth):
                jobs[name_of(arm, seed)] = functools.partial(run, arm, seed)
                waits[name_of(arm, seed)] = [name_of(one, seed) for one in after[arm]]
    side_by_side(jobs, waits, folder.path / "logs", _processes(recipe))
    return {arm: [home_of(folder.path, arm, seed) for seed in range(seeds)] for arm in arms}


def with_those_before(after: Mapping[str, Sequence[str]], chosen: Sequence[str]) -> list[str]:
    """The chosen arms and all that they come after, in the order of `after`."""
    found = set(chosen)
    for _ in after:
        found |= {one for arm in found for one in after[arm]}
    return [arm for arm in after if arm in found]


def _depth(after: Mapping[str, Sequence[str]], arm: str) -> int:
    return max((1 + _depth(after, one) for one in after[arm]), default=0)


def _processes(recipe: Recipe) -> int:
    count = recipe.options.get("processes", PROCESSES)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UserError(f"options.processes is {count!r}; expected a whole number from 1")
    return count


def name_of(arm: str, seed: int) -> str:
    """Of an arm's run folder, relative to that of the reproduction."""
    return f"seed{seed}/{arm}"


def home_of(root: Path, arm: str, seed: int) -> RunFolder:
    """The run folder of an arm and seed."""
    return RunFolder(root / name_of(arm, seed))


def arm_recipe(recipe: Recipe, settings: Mapping[str, Any], arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed: one thread, one seed for all, settings by dotted key. An arm is one run, so a
    recipe's `stages` are left out. Raises UserError naming the arm for a setting that does not exist."""
    options = {key: value for key, value in recipe.options.items() if key not in OWN}
    plain = recipe.model_copy(update={"options": options, "stages": []})
    return variant(plain, {"launch.threads": 1, **settings}, seed, arm)


def stage_settings(recipe: Recipe, name: str) -> dict[str, Any]:
    """What the recipe's stage of that name sets, by dotted key; nothing where there is none."""
    return next((dict(stage.settings) for stage in recipe.stages if stage.name == name), {})


def begun_at(recipe: Recipe, checkpoint: Path) -> Recipe:
    """The recipe of an arm that begins at another arm's model in place of its own: a fresh optimiser, and this model as
    the reference. The vision tower goes on learning."""
    model = {"path": str(checkpoint), "freeze_vision": False, "dtype": recipe.model.dtype}
    return recipe.model_copy(update={"model": type(recipe.model).model_validate(model)})


def imitating(recipe: Recipe) -> dict[str, Any]:
    """Settings of an SFT arm beside RL: as many updates, each of as many questions, at the same rate."""
    assert recipe.grpo is not None
    count = recipe.grpo.prompts
    size = {"max_steps": recipe.grpo.steps, "batch": count, "micro_batch": count, "unverified": False}
    rate = {"optim.lr": recipe.grpo.optim.lr, "optim.warmup": 0.0}
    return {f"sft.{key}": value for key, value in (size | rate).items()}


def walk(
    recipe: Recipe,
    domain: Domain,
    home: RunFolder,
    stages: Sequence[str],
    give: Callable[[], None] | None = None,
) -> None:
    """Run the data stage and `stages` of the road in an arm's run folder, what is done excepted. `give` puts data or
    models of other arms into the folder first (`arms.share`). Raises UserError where it was begun with other settings.
    """
    road = load_module(project_dir() / "training" / "road.py")
    task = with_task(domain, recipe.task)
    start(home, recipe, task, None, command_line())
    if give is not None:
        give()
    road.main(recipe, task, home, only=["data", *stages])


def announce(arm: str, seed: int, note: str) -> None:
    """First line of an arm's log."""
    print(f"seed {seed}, arm {arm}: {note}", file=sys.stderr)


def conclude(folder: RunFolder, homes: Homes, settings: Mapping[str, Any], found: Mapping[str, Any], text: str) -> None:
    """Write reproduce.json, with what each arm sets, and reproduce.md; print the latter."""
    seeds = len(next(iter(homes.values())))
    arms = {arm: settings[arm] for arm in homes}
    write_json(folder.path / "reproduce.json", {"seeds": seeds, "arms": arms, **found})
    write_text(folder.path / "reproduce.md", text)
    print(text)
