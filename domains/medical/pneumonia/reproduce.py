"""What pictures, and RL after the cold start, are worth to a tiny model trained from scratch on real chest X-rays.

    mmreason reproduce pneumonia data.dir=DIR                     four arms, three seeds, two processes of one thread
    mmreason reproduce pneumonia data.dir=DIR options.seeds=5
    mmreason reproduce pneumonia data.dir=DIR options.arms=[cold,rl]

DIR holds pneumoniamnist_balanced/. The data are built once, for all seeds. All arms of a seed begin at the same
weights; `rl` and `more` go on from the cold start and take as many updates of as many questions. `blind` has the cold
start's steps on the same rows without their pictures and is asked without them. Training sees the `train` images alone,
every score is of the 270 `val` images.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe, with_task
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records.io import read_samples, write_samples
from mmreason.run import reproduction as shared
from mmreason.run.arms import share
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start
from mmreason.run.reproduction import OWN, announce, begun_at, conclude, home_of, imitating, run_arms
from mmreason.suites.question_only import without_media

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

DATA = "data"
"""Run folder of the data stage."""
COLD, RL, MORE, BLIND = "cold", "rl", "more", "blind"
ARMS: dict[str, dict[str, Any]] = {arm: {} for arm in (COLD, RL, MORE, BLIND)}
AFTER = {COLD: [], RL: [COLD], MORE: [COLD], BLIND: [COLD]}
NOTES = {
    COLD: "cold start on the gold letters",
    RL: "cold start + GRPO",
    MORE: "cold start + as many updates of cross-entropy",
    BLIND: "the same cold start without pictures, asked without them",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError without `data.dir`."""
    if recipe.data.dir is None:
        raise UserError("pneumonia has no made-up data: name the folder of the real ones with data.dir=DIR")
    _build_data(recipe, domain, folder.path)
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    conclude(folder, homes, ARMS, *measures.compare(homes, NOTES))


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed."""
    return shared.arm_recipe(recipe, ARMS[arm] | (imitating(recipe) if arm == MORE else {}), arm, seed)


def _build_data(recipe: Recipe, domain: Domain, root: Path) -> None:
    """The data stage, whose rows no seed changes; needs no torch, so that arms can still be forked."""
    options = {key: value for key, value in recipe.options.items() if key not in OWN}
    _walk(recipe.model_copy(update={"options": options}), domain, RunFolder(root / DATA), ["data"])


def _walk(recipe: Recipe, domain: Domain, home: RunFolder, stages: list[str]) -> None:
    """Stages of the road on the real data; those that are done are not run again."""
    assert recipe.data.dir is not None
    data_dir, task = Path(recipe.data.dir).resolve(), with_task(domain, recipe.task)
    start(home, recipe, task, data_dir, command_line())
    road = load_module(project_dir() / "training" / "road.py")
    road.main(recipe, task, home, data_dir=data_dir, only=stages)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    home, cold = home_of(root, arm, seed), home_of(root, COLD, seed)
    settings = arm_recipe(recipe, arm, seed)
    if arm == MORE:
        settings = begun_at(settings, cold.final("sft"))
    announce(arm, seed, NOTES[arm])
    _give(home, RunFolder(root / DATA) if arm == COLD else cold, arm)
    _walk(settings, domain, home, ["grpo", "eval_grpo"] if arm == RL else ["sft", "eval_sft"])


def _give(home: RunFolder, source: RunFolder, arm: str) -> None:
    """The data; to RL the cold start's model, to the arm without pictures its first weights and rows without them."""
    mark = home.data / "given.json"
    if mark.is_file():
        return
    share(source, home, {RL: ("base", "sft"), BLIND: ("base",)}.get(arm, ()))
    if arm == BLIND:
        rows = read_samples(home.data / "sft.parquet")
        write_samples(home.data / "sft.parquet", [without_media(sample) for sample in rows])
    write_json(mark, {"from": str(source.path.name)})
