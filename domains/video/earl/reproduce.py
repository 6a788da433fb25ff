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
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe, with_task
from mmreason.project import load_module, project_dir
from mmreason.run.arms import choice, share, side_by_side, variant
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

SEEDS = 3
PROCESSES = 2
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
    seeds, arms = choice(recipe, list(ARMS), SEEDS)
    arms = list(dict.fromkeys([COLD, *arms]))
    jobs: dict[str, Callable[[], None]] = {}
    after: dict[str, Sequence[str]] = {}
    for arm in sorted(arms, key=lambda name: name not in (COLD, UNIFORM)):
        for seed in range(seeds):
            jobs[_name(seed, arm)] = functools.partial(run_arm, recipe, domain, folder.path, arm, seed)
            after[_name(seed, arm)] = [] if arm in (COLD, UNIFORM) else [_name(seed, COLD)]
    side_by_side(jobs, after, folder.path / "logs", int(recipe.options.get("processes", PROCESSES)))
    homes = {arm: [RunFolder(folder.path / _name(seed, arm)) for seed in range(seeds)] for arm in arms}
    found, text = measures.compare(homes, _stages(arms), NOTES)
    write_json(folder.path / "reproduce.json", {"seeds": seeds, "arms": {arm: ARMS[arm] for arm in arms}, **found})
    write_text(folder.path / "reproduce.md", text)
    print(text)


def _name(seed: int, arm: str) -> str:
    return f"seed{seed}/{arm}"


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
    own = {key: value for key, value in recipe.options.items() if key not in ("seeds", "arms", "processes")}
    recipe = recipe.model_copy(update={"options": own})
    settings: dict[str, Any] = {f"options.earl.{key}": value for key, value in ARMS[arm].items()}
    controls = {name: {"earl": dict(values)} for name, values in CONTROLS.items()} if arm in CONTROLLED else {}
    settings |= {"eval.controls": controls, "launch.threads": 1}
    if arm == "shuffled":  # judged against the true gold
        settings["eval.controls"] = {"true_gold": {"earl": {"shuffled_gold": False}}}
    if arm == UNIFORM:
        grid = _twice(recipe)
        settings |= {"options.earl.grid": grid, "task.media.frame_rule": f"centres:{grid}"}
        settings |= {"data.teacher.options.hasty": 1.0, "data.embedded": PIPELINES, "data.max_prompt_tokens": 512}
    return variant(recipe, settings, seed, arm)


def _twice(recipe: Recipe) -> int:
    """Frames of the grid and of one selection together."""
    earl: Mapping[str, Any] = recipe.options["earl"]
    return int(earl["grid"]) + int(earl["refined"])


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    road = load_module(project_dir() / "training" / "road.py")
    settings, home = arm_recipe(recipe, arm, seed), RunFolder(root / _name(seed, arm))
    print(f"seed {seed}, arm {arm}: {NOTES[arm]}", file=sys.stderr)
    domain = with_task(domain, settings.task)
    start(home, settings, domain, None, command_line())
    if arm not in (COLD, UNIFORM):
        share(RunFolder(root / _name(seed, COLD)), home)
    first = ["sft", "eval_sft"] if arm == COLD else ["sft", "grpo", "eval_grpo"] if arm == UNIFORM else None
    road.main(settings, domain, home, only=["data", *(first or ["grpo", "eval_grpo"])])
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
