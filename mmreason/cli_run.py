"""What `mmreason run`, its single stages, `view` and `reproduce` do once a request is validated."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmreason import cli_plan
from mmreason.cli_job import Job, check_extras
from mmreason.config import Recipe
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.run.folder import RunFolder
from mmreason.run.lock import locked
from mmreason.run.manifest import check_settings, command_line, read_manifest, start


def travel(job: Job, only: list[str] | None, dry_run: bool) -> None:
    """Print the plan, or walk the road in the locked run folder."""
    if dry_run:
        print(cli_plan.plan_text(job, only))
        return
    check_extras(job)
    folder = RunFolder(job.out)
    check_settings(folder, job.recipe, job.domain, job.data_dir)
    road = load_module(project_dir() / "training" / "road.py")
    if "RANK" in os.environ:  # one of several processes that `accelerate launch` started; their parent holds the lock
        road.main(job.recipe, job.domain, folder, data_dir=job.data_dir, only=only)
        return
    launch = (lambda stage: cli_plan.launch_command(job, stage)) if cli_plan.needs_launch(job) else None
    with locked(folder.path):
        start(folder, job.recipe, job.domain, job.data_dir, command_line())
        if job.recipe.stages:
            chain(job, folder, only)
        else:
            road.main(job.recipe, job.domain, folder, data_dir=job.data_dir, only=only, launch=launch)
    if only is None:
        print(f"report: {folder.path / 'report.html'}")


def chain(job: Job, folder: RunFolder, only: list[str] | None) -> None:
    """Walk the stages of a recipe that names them. Raises UserError where one kind of training is asked for."""
    if only is not None:
        first = f"{folder.path}/1_{job.recipe.stages[0].name}/recipe.yaml"
        raise UserError(f"{job.system} trains in stages: use `mmreason run`, or name the recipe of one, as {first}")

    def launch_of(file: Path, own: Recipe) -> Callable[[str], list[str]] | None:
        part = replace(job, system=str(file), profile="stage", pairs=(), recipe=own, out=file.parent)
        return (lambda stage: cli_plan.launch_command(part, stage)) if cli_plan.needs_launch(part) else None

    flow = load_module(project_dir() / "training" / "chain.py")
    flow.main(job.recipe, job.domain, folder, data_dir=job.data_dir, launch_of=launch_of)


def view_run(path: Path) -> Path:
    """Write the page of a run's rollouts and return its path. Raises UserError where there is no run."""
    from mmreason.report.viewer import write_viewer

    if not path.is_dir():
        raise UserError(f"no run folder {path}")
    folder = RunFolder(path)
    read_manifest(folder)
    return write_viewer(folder)


def reproduce_claim(job: Job) -> None:
    """Run the reproduction that lies beside the system's recipe. Raises UserError where there is none."""
    script = job.recipe_path.parent / "reproduce.py"
    if not script.is_file():
        raise UserError(f"{job.system} has no reproduction: no file {script}")
    folder = RunFolder(job.out)
    with locked(folder.path):
        load_module(script).main(job.recipe, job.domain, folder)
