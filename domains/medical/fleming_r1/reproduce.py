"""Fleming-R1's two stages and its mining at small scale, on a made-up knowledge world.

    mmreason reproduce fleming-r1                                three seeds, two processes of one thread
    mmreason reproduce fleming-r1 options.seeds=5                as many as it takes to decide anything
    mmreason reproduce fleming-r1 options.arms=[random,mined]    some arms, with those that they begin at

All arms of a seed begin at one cold start. A stage is an arm of its own, with a fresh optimiser, so that arms with the
same stage 1 share it. Every stage samples as many answers, `plain` as many as two; what a mining samples comes on top
and is told in the table. Unlike in a run, diseases come as often in RL as in the world: what is rare has to be found.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.run import reproduction as shared
from mmreason.run.arms import share
from mmreason.run.folder import RunFolder
from mmreason.run.reproduction import announce, begun_at, conclude, home_of, run_arms, walk

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

COLD, PLAIN = "cold", "plain"
RL: dict[str, Any] = {"sft": None, "options.fleming_world.law": "natural"}
FIRST = RL | {"options.fleming_r1.blend": "text"}
MINED = RL | {"data.rl_source": "variance", "grpo.methods": ["fleming_r1/in_units.py:InUnits"]}
STD: dict[str, Any] = {"grpo.advantage": "group"}
DOUBLED = ("mined", "mined_std")
"""Arms with twice the answers to half the questions."""
ARMS: dict[str, dict[str, Any]] = {
    COLD: {"data.embedded": ["fleming_facts", "fleming_taught"]},
    PLAIN: RL,
    "first": FIRST,
    "random": RL,
    "mined": MINED,
    "mined_k": MINED,
    "first_std": FIRST | STD,
    "random_std": RL | STD,
    "mined_std": MINED | STD,
}
AFTER: dict[str, list[str]] = {
    COLD: [],
    PLAIN: [COLD],
    "first": [COLD],
    "random": ["first"],
    "mined": ["first"],
    "mined_k": ["first", "mined"],
    "first_std": [COLD],
    "random_std": ["first_std"],
    "mined_std": ["first_std"],
}
"""Arm -> the arm whose model it begins at, then the one whose data and mined answers it takes."""
NOTES = {
    COLD: "cold start",
    PLAIN: "GRPO on the natural mixture, steps of both stages (A)",
    "first": "stage 1, easy and moderate",
    "random": "stage 2, drawn at random (B)",
    "mined": "stage 2, right : wrong = 1 : 2, k doubled (C)",
    "mined_k": "stage 2, right : wrong = 1 : 2, k as before (D)",
    "first_std": "stage 1, divided by the deviation",
    "random_std": "B, divided by the deviation",
    "mined_std": "C, divided by the deviation",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    conclude(folder, homes, ARMS, *measures.compare(homes, NOTES))


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed, the counts of answers and steps among its settings."""
    grpo = recipe.grpo
    assert grpo is not None
    settings = dict(ARMS[arm])
    if arm == PLAIN:
        settings["grpo.steps"] = 2 * grpo.steps
    if arm in DOUBLED:
        if grpo.prompts % 2:
            raise UserError(f"grpo.prompts is {grpo.prompts}; arm {arm} takes half as many, so expected an even number")
        settings |= {"grpo.group_size": 2 * grpo.group_size, "grpo.prompts": grpo.prompts // 2}
    return shared.arm_recipe(recipe, settings, arm, seed)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES[arm])
    if arm == COLD:
        walk(settings, domain, home, ["sft", "eval_sft"])
        return
    begin, *given = AFTER[arm]
    model = home_of(root, begin, seed).final("sft" if begin == COLD else "grpo")
    stages = [*(["pool"] if settings.data.rl_source == "variance" else []), "grpo", "eval_grpo"]
    give = functools.partial(share, home_of(root, given[0], seed), home, ()) if given else None
    walk(begun_at(settings, model), domain, home, stages, give)
