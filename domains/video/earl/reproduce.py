"""EARL's claims at small scale: arms of its reward, controls of its evidence, on made-up clips.

    mmreason reproduce earl                                three seeds, two processes of one thread
    mmreason reproduce earl options.seeds=5                as many as it takes to decide anything
    mmreason reproduce earl options.arms=[earl,outcome]    some arms

All arms of a seed begin at one cold start and take the same steps; `uniform` has a cold start of its own, without the
tool and with as many frames as the others see in all. Controls are evaluations of arms that are there. Every arm is a
run folder: a stopped reproduction goes on at the arm, stage and step where it was.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe, with_task
from mmreason.project import load_module, project_dir
from mmreason.run import reproduction as shared
from mmreason.run.arms import share, variant
from mmreason.run.folder import RunFolder
from mmreason.run.reproduction import announce, conclude, home_of, run_arms, walk

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

COLD, UNIFORM = "sft", "uniform"
OUTCOME = {"alpha_early": 0.0, "alpha_late": 0.0, "beta_early": 0.0, "beta_late": 0.0}
OUTCOME |= {"gate": 0.0, "correct": 1.0, "half": 1.0, "wrong": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    COLD: {},
    "earl": {},
    "outcome": OUTCOME,
    "action": OUTCOME | {"alpha_early": 0.5, "alpha_late": 0.1, "wrong": -1.0},
    "no_relevance": {"beta_early": 0.0, "beta_late": 0.0},
    "no_gate": {"gate": 0.0},
    "fixed": {"alpha_early": 0.3, "alpha_late": 0.3, "beta_early": 0.35, "beta_late": 0.35},
    "shuffled": {"shuffled_gold": True},
    "no_resampling": {"control": "no_resampling"},
    UNIFORM: OUTCOME | {"control": "no_tool"},
}
"""Arm -> settings over `options.earl`."""
AFTER: dict[str, list[str]] = {arm: [] if arm in (COLD, UNIFORM) else [COLD] for arm in ARMS}
"""Arm -> the arm whose cold start it takes."""
CONTROLS: dict[str, dict[str, Any]] = {
    "no_tool": {"control": "no_tool"},
    "same_frames": {"control": "no_resampling"},
    "random": {"control": "random_selection"},
    "oracle": {"control": "oracle"},
}
"""Control -> settings; each is an evaluation of the arms `sft` and `earl`."""
PIPELINES = ["earl_scenes", "earl_captions"]
"""Of the arm that never had a tool: no row has it switched off."""
CONTROLLED = (COLD, "earl")
MORE_FRAMES = "more_frames"
"""The control with as many frames as the grid and one selection bring together, and no tool."""
NOTES = {
    COLD: "cold start",
    "earl": "the whole reward",
    "outcome": "GRPO on right answers alone",
    "action": "right answers and having selected",
    "no_relevance": "without the IoU term",
    "no_gate": "right answers count fully whatever the IoU",
    "fixed": "weights that do not change",
    "shuffled": "gold frames moved to other times",
    "no_resampling": "trained and judged with the selected frames as they are",
    UNIFORM: "trained and judged without the tool on twice the frames",
    "no_tool": "the tool switched off",
    "same_frames": "selected frames come back as they are",
    "random": "as many frames at random",
    "oracle": "the gold frames",
    MORE_FRAMES: "the tool switched off, twice the frames",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    conclude(folder, homes, ARMS, *measures.compare(homes, _stages(list(homes)), NOTES))


def _stages(arms: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Row of the table -> (arm, folder of its evaluation)."""
    stages = {arm: (arm, _stage(arm)) for arm in arms}
    for arm in CONTROLLED:
        if arm in arms:
            stages |= {f"{arm}, {name}": (arm, f"{_stage(arm)}_{name}") for name in (*CONTROLS, MORE_FRAMES)}
    return stages


def _stage(arm: str) -> str:
    return "sft" if arm == COLD else "grpo"


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed; controls are evaluated where the table shows them."""
    settings: dict[str, Any] = {f"options.earl.{key}": value for key, value in ARMS[arm].items()}
    controls = {name: {"earl": dict(values)} for name, values in CONTROLS.items()} if arm in CONTROLLED else {}
    settings["eval.controls"] = controls
    if arm == "shuffled":  # judged against the true gold
        settings["eval.controls"] = {"true_gold": {"earl": {"shuffled_gold": False}}}
    if arm == UNIFORM:
        grid = _twice(recipe)
        settings |= {"options.earl.grid": grid, "task.media.frame_rule": f"centres:{grid}"}
        settings |= {"data.teacher.options.hasty": 1.0, "data.embedded": PIPELINES, "data.max_prompt_tokens": 512}
    return shared.arm_recipe(recipe, settings, arm, seed)


def _twice(recipe: Recipe) -> int:
    """Frames of the grid and of one selection together."""
    earl: Mapping[str, Any] = recipe.options["earl"]
    return int(earl["grid"]) + int(earl["refined"])


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES[arm])
    given = functools.partial(share, home_of(root, COLD, seed), home) if AFTER[arm] else None
    first = ["sft", "eval_sft"] if arm == COLD else ["sft", "grpo", "eval_grpo"] if arm == UNIFORM else None
    walk(settings, domain, home, first or ["grpo", "eval_grpo"], given)
    if arm in CONTROLLED:
        more_frames(settings, domain, home, _stage(arm))


def more_frames(recipe: Recipe, domain: Domain, home: RunFolder, stage: str) -> None:
    """The arm's model without its tool, on as many frames as the grid and one selection have together."""
    grid = _twice(recipe)
    settings = {"options.earl.grid": grid, "options.earl.control": "no_tool", "eval.controls": {}}
    settings |= {"task.media.frame_rule": f"centres:{grid}"}
    changed = variant(recipe, settings, recipe.seeds.data, MORE_FRAMES)
    flow = load_module(project_dir() / "eval" / "run.py")
    flow.main(changed, with_task(domain, changed.task), home, f"{stage}_{MORE_FRAMES}", model=home.final(stage))
