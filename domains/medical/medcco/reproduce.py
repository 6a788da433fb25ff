"""MedCCO's claim at small scale: closed then open against every other order, on made-up scans.

    mmreason reproduce medcco                                       three seeds, two processes of one thread
    mmreason reproduce medcco options.seeds=10                      as many as it takes to decide anything
    mmreason reproduce medcco options.arms=[closed_open,joint]      some arms

All arms of a seed begin at one cold start, take two halves of `grpo.steps` steps, each with a fresh optimiser, and so
sample as many answers. Arms with the same first half share it: a half is an arm of its own, which nothing evaluates.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.project import load_module
from mmreason.run import reproduction as shared
from mmreason.run.arms import share
from mmreason.run.folder import RunFolder
from mmreason.run.reproduction import (
    announce,
    begun_at,
    conclude,
    home_of,
    imitating,
    run_arms,
    stage_settings,
    walk,
)

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

SEE, COLD, SFT = "see", "cold", "sft"
STD: dict[str, Any] = {"grpo.advantage": "group"}
"""Advantages divided by the group's deviation, as the paper has them; without it a dense reward has smaller ones."""


def half(closed: float, number: int, scale: bool = False) -> dict[str, Any]:
    """Settings of the first or second half with a share of closed prompts; `scale` re-weights by kind."""
    mix = {"medcco/curriculum.py:Mix": {"closed": closed, "seed": number}}
    return {"grpo.methods": [mix, {"medcco/per_kind.py:PerKind": {"scale": scale}}]}


FIRST: dict[str, dict[str, Any]] = {
    "closed_first": half(1.0, 1),
    "open_first": half(0.0, 1),
    "joint_first": half(0.5, 1),
    "weighted_first": half(0.5, 1, scale=True),
    "closed_first_std": half(1.0, 1) | STD,
    "joint_first_std": half(0.5, 1) | STD,
}
"""First halves."""
SECOND: dict[str, tuple[str, dict[str, Any]]] = {
    "closed_open": ("closed_first", half(0.0, 2)),
    "joint": ("joint_first", half(0.5, 2)),
    "weighted": ("weighted_first", half(0.5, 2, scale=True)),
    "open_closed": ("open_first", half(1.0, 2)),
    "closed_only": ("closed_first", half(1.0, 2)),
    "open_only": ("open_first", half(0.0, 2)),
    "closed_open_std": ("closed_first_std", half(0.0, 2) | STD),
    "joint_std": ("joint_first_std", half(0.5, 2) | STD),
    "exact": ("closed_first", half(0.0, 2) | {"options.medcco.open_reward": "exact"}),
    "lambda3": ("closed_first", half(0.0, 2) | {"options.medcco.lam": 0.3}),
    "replay": ("closed_first", half(0.1, 2)),
}
"""Second halves: what each begins at, and its settings."""
ARMS: dict[str, dict[str, Any]] = {
    SEE: {},
    COLD: {},
    SFT: {},
    **FIRST,
    **{arm: settings for arm, (_, settings) in SECOND.items()},
}
UNJUDGED = (SEE, *FIRST)
AFTER: dict[str, list[str]] = {arm: [SECOND[arm][0] if arm in SECOND else COLD] for arm in ARMS}
"""Arm -> the arm whose model it begins at."""
AFTER |= {SEE: [], COLD: [SEE]}
NOTES = {
    SEE: "plates, to see",
    COLD: "cold start, the careless teacher's answers",
    SFT: "as many updates of imitation, right answers alone",
    "closed_open": "closed, then open",
    "joint": "both kinds in every step",
    "weighted": "the same, rewards re-weighted by kind",
    "open_closed": "open, then closed",
    "closed_only": "closed in both halves",
    "open_only": "open in both halves",
    "closed_open_std": "closed, then open; divided by the deviation",
    "joint_std": "both kinds; divided by the deviation",
    "exact": "closed, then open by exact match",
    "lambda3": "closed, then open with lambda 0.3",
    "replay": "closed, then open with a tenth of closed",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    judged = {arm: homes[arm] for arm in homes if arm not in UNJUDGED}
    halves = {arm: homes[SECOND[arm][0]] for arm in judged if arm in SECOND}
    conclude(folder, homes, ARMS, *measures.compare(judged, halves, NOTES, own_settings(recipe)))


def own_settings(recipe: Recipe) -> Any:
    """By which all arms are judged, whatever they train with."""
    return measures.shown.rewards.settings.of(recipe.options)


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed. The SFT arm takes as many updates as both halves, on the teacher's chains whose
    answers are right."""
    settings = stage_settings(recipe, SEE) if arm == SEE else ARMS[arm]
    if arm == SFT:
        assert recipe.grpo is not None
        settings = imitating(recipe) | {"sft.max_steps": 2 * recipe.grpo.steps}
    return shared.arm_recipe(recipe, settings, arm, seed)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder; first halves are not evaluated."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES.get(arm, "a first half"))
    given = None
    if arm != SEE:
        [before] = AFTER[arm]
        settings = begun_at(settings, home_of(root, before, seed).final("sft" if before in (SEE, COLD) else "grpo"))
    if arm not in (SEE, COLD):
        given = functools.partial(share, home_of(root, COLD, seed), home, ())
    trained = "sft" if arm in (SEE, COLD, SFT) else "grpo"
    judged = [] if arm in UNJUDGED else [f"eval_{trained}"]
    walk(settings, domain, home, [trained, *judged], given)
    if judged:
        measures.suites_of(home, own_settings(recipe))
