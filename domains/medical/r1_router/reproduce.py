"""R1-Router's claims at small scale: what step rewards, the history behind a step, and RL itself add to routing.

    mmreason reproduce r1-router                              seven arms, three seeds, two processes of one thread
    mmreason reproduce r1-router options.seeds=5              more seeds
    mmreason reproduce r1-router options.arms=[teacher,own]   some arms

All arms of a seed begin at one cold start, which knows the tags and not which base to ask, and take the same number of
updates. A step of a teacher is one turn, an episode about `EPISODE` of them: arms that play whole questions take so
many fewer, so that all generate about the same number of tokens. Controls are evaluations of arms that are there.
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
from mmreason.run.reproduction import announce, begun_at, conclude, home_of, imitating, run_arms, walk

measures = load_module(Path(__file__).parent / "reproduce_measures.py")

COLD, SFT = "cold", "sft"
EPISODE = 6
"""Turns of an episode, in the mean over one to three hops."""
OWN_HISTORY = {"data.rl_kinds": ["span"]}
ARMS: dict[str, dict[str, Any]] = {
    COLD: {},
    "outcome": OWN_HISTORY | {"grpo.methods": []},
    "teacher": {},
    "own": OWN_HISTORY,
    SFT: {"data.teacher.options.misroute": 0.0, "data.embedded": ["r1_router_shown"]},
    "no_query": {"options.r1_router.w_query": 0.0},
    "no_route": {"options.r1_router.w_route": 0.0},
}
AFTER: dict[str, list[str]] = {arm: [] if arm == COLD else [COLD] for arm in ARMS}
"""Arm -> the arm whose cold start it takes."""
NOTES = {
    COLD: "cold start: the tags, and a base at random",
    "outcome": "GRPO on the final answers of whole episodes",
    "teacher": "Step-GRPO behind the teacher's steps",
    "own": "Step-GRPO in the policy's own episodes, with retrieval",
    SFT: "as many updates of cross-entropy on the same trajectories",
    "no_query": "as teacher, without the similarity half",
    "no_route": "as teacher, without the routing half",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    stages = {arm: _stage(arm) for arm in homes}
    conclude(folder, homes, ARMS, *measures.compare(homes, stages, list(recipe.eval.controls), NOTES))


def _stage(arm: str) -> str:
    """Whose checkpoint an arm is judged by."""
    return "sft" if arm in (COLD, SFT) else "grpo"


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed."""
    assert recipe.grpo is not None
    settings = dict(ARMS[arm])
    if arm == SFT:
        settings |= imitating(recipe)
    if ARMS[arm].get("data.rl_kinds") == ["span"]:
        settings["grpo.prompts"] = max(1, recipe.grpo.prompts // EPISODE)
    return shared.arm_recipe(recipe, settings, arm, seed)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES[arm])
    cold = home_of(root, COLD, seed)
    if arm == COLD:
        walk(settings, domain, home, ["sft", "eval_sft"])
    elif arm == SFT:
        walk(begun_at(settings, cold.final("sft")), domain, home, ["sft", "eval_sft"])
    else:
        walk(settings, domain, home, ["grpo", "eval_grpo"], functools.partial(_given, cold, home, settings))


def _given(cold: RunFolder, home: RunFolder, settings: Recipe) -> None:
    """The cold start's data and models, and of its RL prompts those of this arm's history."""
    from mmreason.records.io import read_samples, write_samples

    share(cold, home)
    if settings.data.rl_kinds == ["span"]:
        write_samples(home.data / "rl.parquet", read_samples(cold.data / "rl_other.parquet"))
