"""Training in more than two stages: a chain of runs, each of which begins at the model of the one before.

    mmreason run SYSTEM            where the recipe has `stages:`

A stage is a run folder of its own inside the run, 1_NAME, 2_NAME and on, with the stage's own data, checkpoints,
evaluation, rollouts and report. Its recipe lies in it, so that every command takes it by itself. The run's own
report.html puts the stages side by side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from mmreason.config import Domain, Recipe, with_task
from mmreason.config.recipe import Stage
from mmreason.config.stages import stage_recipe, with_settings
from mmreason.project import load_module, project_dir
from mmreason.run.files import write_text
from mmreason.run.folder import RunFolder
from mmreason.run.lock import locked
from mmreason.run.manifest import command_line, start

PROFILE = "stage"
"""The one profile of a stage's recipe."""
Launch = Callable[[str], list[str]]


def main(
    recipe: Recipe,
    domain: Domain,
    folder: RunFolder,
    *,
    data_dir: Path | None = None,
    begin: Path | None = None,
    launch_of: Callable[[Path, Recipe], Launch | None] | None = None,
) -> Path:
    """Walk every stage in order, those that are finished excepted; the last stage's model.

    `begin`: checkpoint that the first stage starts from, by default the recipe's model. `launch_of`: a stage's recipe
    file and recipe -> how its training is launched in processes of its own.
    """
    road = load_module(project_dir() / "training" / "road.py")
    for number, stage in enumerate(recipe.stages):
        home, own = home_of(folder, recipe, stage), stage_recipe(recipe, stage, begin)
        if number > 0:  # the stage before has evaluated it
            own = with_settings(own, {"eval.base": False}, f"stage {stage.name}")
        print(f"stage {stage.name}: {stage.kind} from {begin or 'the base model'}", file=sys.stderr)
        file = write_recipe(home, own, domain)
        task = with_task(domain, own.task)
        with locked(home.path):
            start(home, own, task, data_dir, command_line())
            share_made(folder, recipe, home)
            suites = own.eval.suites if data_dir else own.eval.embedded_suites
            launch = launch_of(file, own) if launch_of is not None else None
            road.main(own, task, home, data_dir=data_dir, only=road.stages_of(own, suites), launch=launch)
        begin = home.final(stage.kind)
    assert begin is not None
    report(recipe, folder)
    return begin


def home_of(folder: RunFolder, recipe: Recipe, stage: Stage) -> RunFolder:
    """The run folder of a stage."""
    return RunFolder(folder.path / f"{recipe.stages.index(stage) + 1}_{stage.name}")


def write_recipe(home: RunFolder, own: Recipe, domain: Domain) -> Path:
    """recipe.yaml of a stage: what its launched processes read, and whoever wants to run it by itself."""
    values = own.model_dump(mode="json", exclude_unset=True) | {"domain": str(domain.folder)}
    text = yaml.safe_dump({**values, "profiles": {PROFILE: {}}}, sort_keys=False, allow_unicode=True)
    write_text(home.path / "recipe.yaml", text)
    return home.path / "recipe.yaml"


def share_made(folder: RunFolder, recipe: Recipe, home: RunFolder) -> None:
    """Pictures and clips that the first stage made are there for all."""
    first = home_of(folder, recipe, recipe.stages[0])
    if first.path != home.path and first.made.is_dir() and not home.made.exists():
        home.data.mkdir(exist_ok=True)
        home.made.symlink_to(first.made)


def report(recipe: Recipe, folder: RunFolder) -> Path:
    """report.html of the chain, from the folders of its stages alone."""
    from mmreason.report.chain import write_chain

    homes = {stage.name: (stage.kind, home_of(folder, recipe, stage)) for stage in recipe.stages}
    page = write_chain(folder, recipe.system, homes)
    print(f"chain: {page}", file=sys.stderr)
    return page
