"""Med-R3's claims at small scale: three stages, their order, their rewards, the mask, on a made-up world to search.

    mmreason reproduce med-r3                                      three seeds, two processes of one thread
    mmreason reproduce med-r3 options.arms=[staged,reversed]       some arms and what they begin at

All arms of a seed begin at one cold start, take three times `grpo.steps` steps and sample as many answers. A stage is
a run of its own with a fresh optimiser, which begins at the model of the one before; arms share the stages that they
have in common. Arms without stages take all their steps in one run.
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
from mmreason.run.reproduction import announce, begun_at, conclude, home_of, run_arms, walk

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

COLD = "cold"
UNMASKED = {"results_trained": True}
FLAT = {"evidence": {}, "evidence_other": 1.0}
STAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "reasoning": (COLD, {"stage": "reasoning"}),
    "retrieval": (COLD, {"stage": "retrieval"}),
    "reasoning_retrieval": ("reasoning", {"stage": "retrieval"}),
    "retrieval_reasoning": ("retrieval", {"stage": "reasoning"}),
    "flat_retrieval": ("reasoning", {"stage": "retrieval", **FLAT}),
    "unmasked_reasoning": (COLD, {"stage": "reasoning", **UNMASKED}),
    "unmasked_retrieval": ("unmasked_reasoning", {"stage": "retrieval", **UNMASKED}),
}
"""First and second stages, which nothing evaluates: what each begins at, and its settings over `options.med_r3`."""
LAST: dict[str, tuple[str, dict[str, Any]]] = {
    "outcome": (COLD, {"stage": "outcome"}),
    "joint": (COLD, {"stage": "joint"}),
    "staged": ("reasoning_retrieval", {"stage": "joint"}),
    "reversed": ("retrieval_reasoning", {"stage": "joint"}),
    "unmasked": ("unmasked_retrieval", {"stage": "joint", **UNMASKED}),
    "flat": ("flat_retrieval", {"stage": "joint", **FLAT}),
}
"""What is compared."""
WHOLE = ("outcome", "joint")
"""Arms in one run."""
EVERY = {**STAGES, **LAST}
ARMS: dict[str, dict[str, Any]] = {COLD: {}, **{arm: settings for arm, (_, settings) in EVERY.items()}}
AFTER: dict[str, list[str]] = {arm: [] if arm == COLD else [EVERY[arm][0]] for arm in ARMS}
"""Arm -> the arm whose model it begins at."""
NOTES = {
    COLD: "cold start",
    "outcome": "GRPO on right answers alone",
    "joint": "the last stage's reward from the start",
    "staged": "reasoning, retrieval, joint",
    "reversed": "retrieval, reasoning, joint",
    "unmasked": "the three stages, results trained as if they had been said",
    "flat": "the three stages, every source of one weight",
    "no search": "no search answered",
}
CONTROLLED = (COLD, "staged")
"""Arms that are evaluated without search too."""


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    judged = {arm: own for arm, own in homes.items() if arm not in STAGES}
    rows = {arm: (arm, _stage(arm)) for arm in judged}
    rows |= {f"{arm}, no search": (arm, f"{_stage(arm)}_no_search") for arm in CONTROLLED if arm in judged}
    conclude(folder, homes, ARMS, *measures.compare(judged, rows, NOTES))


def _stage(arm: str) -> str:
    return "sft" if arm == COLD else "grpo"


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed; each stage draws its prompts in an order of its own."""
    assert recipe.grpo is not None
    settings: dict[str, Any] = {f"options.med_r3.{key}": value for key, value in ARMS[arm].items()}
    settings["eval.controls"] = {"no_search": {"search": {"disabled": True}}} if arm in CONTROLLED else {}
    if arm in WHOLE:
        settings["grpo.steps"] = 3 * recipe.grpo.steps
    elif arm != COLD:
        settings["seeds.data"] = 100 * _depth(arm) + seed
    return shared.arm_recipe(recipe, settings, arm, seed)


def _depth(arm: str) -> int:
    return 0 if arm == COLD else 1 + _depth(EVERY[arm][0])


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of the road of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES.get(arm, "a stage on the way"))
    if arm == COLD:
        walk(settings, domain, home, ["sft", "eval_sft"])
        return
    begin = home_of(root, AFTER[arm][0], seed).final(_stage(AFTER[arm][0]))
    given = functools.partial(share, home_of(root, COLD, seed), home, ())
    walk(begun_at(settings, begin), domain, home, ["grpo"] if arm in STAGES else ["grpo", "eval_grpo"], given)
