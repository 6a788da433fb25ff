"""ARMed's claim at small scale: which map of the similarity matters, on made-up scans and on a table.

    mmreason reproduce armed                                  three seeds, two processes of one thread
    mmreason reproduce armed options.seeds=5                  more of them
    mmreason reproduce armed options.arms=[affine,adaptive]   some arms

All reward arms of a seed begin at one cold start and take the same steps; they differ in the reward alone. `again` and
`chains` go on from `adaptive`: as many steps once more, without and with a cold start on its own chains before. The
table (`reproduce_bandit.py`) comes first and takes seconds.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.project import load_module
from mmreason.run import reproduction as shared
from mmreason.run.arms import share
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.reproduction import announce, begun_at, conclude, home_of, run_arms, stage_settings, walk

bandit = load_module(Path(__file__).parent / "reproduce_bandit.py")
measures = load_module(Path(__file__).parent / "reproduce_measures.py")

SEE, COLD, ADAPTIVE, AGAIN, CHAINS = "see", "cold", "adaptive", "again", "chains"
LEARN, LAST = "armed_a", "armed_r"
"""Stages of the recipe whose settings the arms take; those of `see` and `cold` are named as the arms are."""
METHOD = "armed/adaptive.py:Adaptive"
MAPPED = ("raw", "affine", "minmax", ADAPTIVE)
OTHER_ANSWERS = 1000
"""Between the sampling seeds of the first and the second RL."""
TEXT_ALONE = {"grpo.methods": [], "options.armed": {"w_text": 1.0, "w_semantic": 0.0, "encoder": "none"}}
AFTER: dict[str, list[str]] = {
    SEE: [],
    COLD: [SEE],
    "text": [COLD],
    **{arm: [COLD] for arm in MAPPED},
    "unguarded": [COLD],
    AGAIN: [ADAPTIVE],
    CHAINS: [ADAPTIVE],
}
"""Arm -> the arm at whose model it begins."""
NOTES = {
    SEE: "plates, to see",
    COLD: "cold start, the careless teacher's answers",
    "text": "GRPO on words alone",
    "raw": "words and similarity as it is",
    "affine": "words and similarity, stretched by a fixed line",
    "minmax": "words and similarity, stretched within the group",
    ADAPTIVE: "words and similarity through the adaptive map",
    "unguarded": "the same without the guard against other sides",
    AGAIN: "adaptive, as many steps once more",
    CHAINS: "adaptive, its own chains, as many steps once more",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    tabular = table_of(folder)
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    judged = {arm: runs for arm, runs in homes.items() if arm != SEE}
    stages = {arm: "sft" if arm == COLD else "grpo" for arm in judged}
    found, text = measures.compare(judged, stages, NOTES)
    settings = {arm: arm_settings(recipe, arm) for arm in AFTER}
    conclude(folder, homes, settings, {**found, "bandit": tabular}, f"{text}\n{bandit.markdown(tabular)}")


def table_of(folder: RunFolder) -> dict[str, Any]:
    """The results of the table, computed once."""
    path = folder.path / "bandit.json"
    if not path.is_file():
        write_json(path, bandit.run())
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def arm_settings(recipe: Recipe, arm: str) -> dict[str, Any]:
    """What an arm sets over the recipe, by dotted key."""
    if arm in (SEE, COLD):
        return stage_settings(recipe, arm)
    if arm == "text":
        return dict(TEXT_ALONE)
    if arm in (AGAIN, CHAINS):
        return stage_settings(recipe, LAST)
    mapped = map_settings(recipe) | {"map": arm if arm in MAPPED else ADAPTIVE}
    settings: dict[str, Any] = {"grpo.methods": [{METHOD: mapped}]}
    return settings | ({"options.armed.conflict_cap": 1.0} if arm == "unguarded" else {})


def map_settings(recipe: Recipe) -> dict[str, Any]:
    """The recipe's own settings of the map."""
    assert recipe.grpo is not None
    given = (entry.get(METHOD) for entry in recipe.grpo.methods if isinstance(entry, dict))
    return next((dict(settings) for settings in given if settings), {})


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed."""
    settings = arm_settings(recipe, arm)
    if arm in (AGAIN, CHAINS):
        settings["seeds.sampling"] = seed + OTHER_ANSWERS
    return shared.arm_recipe(recipe, settings, arm, seed)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES[arm])
    if arm == SEE:
        walk(settings, domain, home, ["sft"])
        return
    if arm == COLD:
        walk(begun_at(settings, home_of(root, SEE, seed).final("sft")), domain, home, ["sft", "eval_sft"])
        return
    cold = home_of(root, COLD, seed)
    if arm in (AGAIN, CHAINS):
        start = home_of(root, ADAPTIVE, seed).final("grpo")
        start = learnt_chains(recipe, domain, home, seed, start) if arm == CHAINS else start
        settings = begun_at(settings, start).model_copy(update={"sft": None})
        walk(settings, domain, home, ["grpo", "eval_grpo"], functools.partial(share, cold, home, ()))
        return
    walk(settings, domain, home, ["grpo", "eval_grpo"], functools.partial(share, cold, home))


def learnt_chains(recipe: Recipe, domain: Domain, home: RunFolder, seed: int, start: Path) -> Path:
    """The model at `start` after a cold start on its own chains, in a run folder inside the arm's."""
    inner = RunFolder(home.path / LEARN)
    settings = shared.arm_recipe(recipe, stage_settings(recipe, LEARN), CHAINS, seed)
    walk(begun_at(settings, start), domain, inner, ["sft", "eval_sft"])
    return inner.final("sft")
