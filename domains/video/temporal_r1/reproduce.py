"""The two claims of Temporal-R1 at small scale: on made-up clips.

    mmreason reproduce temporal-r1                               twelve arms, three seeds, two processes of one thread
    mmreason reproduce temporal-r1 options.seeds=5               as many as it takes to decide anything
    mmreason reproduce temporal-r1 options.arms=[dual,gated]     some arms

All arms of a seed begin at one warm start and take the same number of updates. Reward arms train on a clean pool; data
arms train `dual` on a pool in which a fifth of the windows are wrong, chosen from by 8 answers of the warm start to
each question, which all rules share. Finished stages of finished arms are not run again.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.project import load_module
from mmreason.records.io import read_samples, write_samples
from mmreason.run import reproduction as shared
from mmreason.run.arms import share
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.reproduction import announce, begun_at, conclude, home_of, imitating, run_arms, walk

pool = load_module(Path(__file__).parent / "reproduce_pool.py")
measures = load_module(Path(__file__).parent / "reproduce_measures.py")

WARM = "warm"
POOLED = "random"
"""The data arm that draws the answers which the others share."""
WHEN = {"data.rl_kinds": ["interval"]}
ARMS: dict[str, dict[str, Any]] = {
    WARM: {},
    "sft": {},
    "iou": WHEN,
    "threshold5": WHEN | {"options.temporal_r1.temporal": "threshold", "options.temporal_r1.threshold": 0.5},
    "threshold7": WHEN | {"options.temporal_r1.temporal": "threshold", "options.temporal_r1.threshold": 0.7},
    "dual": {},
    "gated": {"options.temporal_r1.dual": "gated"},
    POOLED: {"data.selection.rule": "random"},
    "full": {"data.selection.rule": "random", "data.selection.keep": 1.0},
    "sigma": {"data.selection.rule": "variance"},
    "lowest": {"data.selection.rule": "lowest"},
    "unsolved": {"data.selection.rule": "unsolved"},
    "rita": {"data.selection.rule": "rita"},
}
DATA_ARMS = (POOLED, "full", "sigma", "lowest", "unsolved", "rita")
AFTER = {arm: [] if arm == WARM else [POOLED] if arm in DATA_ARMS and arm != POOLED else [WARM] for arm in ARMS}
"""Arm -> the arm whose models, or drawn answers, it takes."""
KEEP = 0.1
"""Share of the pool that the data arms keep, but for the full one."""
NOTES = {
    WARM: "warm start, the careless teacher's answers",
    "sft": "warm start + as many updates of cross-entropy on clean moments",
    "iou": "warm start + GRPO on moments, tIoU",
    "threshold5": "the same, 1 from tIoU 0.5 on",
    "threshold7": "the same, 1 from tIoU 0.7 on",
    "dual": "warm start + GRPO on all kinds, accuracy and tIoU",
    "gated": "the same, accuracy x tIoU",
    "full": "dual on the pool with a fifth of its windows wrong",
    POOLED: "dual, any 10 % of that pool",
    "sigma": "dual, 10 % by spread",
    "lowest": "dual, the 10 % of least spread",
    "unsolved": "dual, 10 % that no answer solved",
    "rita": "dual, 10 % hard : medium : easy = 1 : 6 : 3",
}


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    homes = run_arms(recipe, folder, AFTER, functools.partial(run_arm, recipe, domain, folder.path))
    stages = {arm: stage_of(arm) for arm in homes}
    conclude(folder, homes, ARMS, *measures.compare(homes, stages, NOTES))


def stage_of(arm: str) -> str:
    """Whose checkpoint an arm is judged by."""
    return "sft" if arm in (WARM, "sft") else "grpo"


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed. The SFT arm takes as many steps as GRPO, of as many questions."""
    chosen = {"data.rl_source": "variance", "data.selection.keep": KEEP}
    settings: dict[str, Any] = (chosen if arm in DATA_ARMS else {"data.rl_source": "all"}) | ARMS[arm]
    settings |= imitating(recipe) if arm == "sft" else {}
    return shared.arm_recipe(recipe, settings, arm, seed)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    settings, home = arm_recipe(recipe, arm, seed), home_of(root, arm, seed)
    announce(arm, seed, NOTES[arm])
    if arm == WARM:
        walk(settings, domain, home, ["sft", "eval_sft"])
        return
    if arm == "sft":
        settings = begun_at(settings, home_of(root, WARM, seed).final("sft"))
    pooled = ["pool"] if arm in DATA_ARMS else []
    stages = ["sft", "eval_sft"] if arm == "sft" else [*pooled, "grpo", "eval_grpo"]
    walk(settings, domain, home, stages, functools.partial(_prepare, root, settings, home, arm, seed))


def _prepare(root: Path, settings: Recipe, home: RunFolder, arm: str, seed: int) -> None:
    """The warm start's data and models, cut and spoilt as the arm asks; once."""
    mark = home.data / "prepared.json"
    if mark.is_file():
        return
    warm = home_of(root, WARM, seed)
    every = read_samples(warm.data / "rl.parquet")
    if arm in DATA_ARMS:
        every = pool.spoilt(every, seed)
        if arm != POOLED:
            drawn = home_of(root, POOLED, seed).data / "trials"
            shutil.copytree(drawn, home.data / "trials", dirs_exist_ok=True)
    kept = [sample for sample in every if sample.answer.kind.value in settings.data.rl_kinds]
    share(warm, home, () if arm == "sft" else ("base", "sft"))
    write_samples(home.data / "rl.parquet", kept)
    if arm == "sft":
        write_samples(home.data / "sft.parquet", pool.clean(every))
    elif arm in DATA_ARMS:
        write_samples(home.data / "sft.parquet", [])
    write_json(mark, {"arm": arm, "questions": len(kept)})
