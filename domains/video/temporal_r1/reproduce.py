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
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.project import load_module, project_dir
from mmreason.records.io import read_samples, write_samples
from mmreason.run.arms import choice, share, side_by_side, variant
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start

pool = load_module(Path(__file__).parent / "reproduce_pool.py")
measures = load_module(Path(__file__).parent / "reproduce_measures.py")

SEEDS = 3
PROCESSES = 2
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
OWN = ("seeds", "arms", "processes")
"""Options of the reproduction itself: an arm is the same whatever stands beside it."""
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
    seeds, arms = choice(recipe, list(ARMS), SEEDS)
    arms = list(dict.fromkeys([WARM, *([POOLED] if set(arms) & set(DATA_ARMS) else []), *arms]))
    jobs: dict[str, Callable[[], None]] = {}
    after: dict[str, Sequence[str]] = {}
    for seed in range(seeds):
        for arm in arms:
            jobs[_name(seed, arm)] = functools.partial(run_arm, recipe, domain, folder.path, arm, seed)
            first = [] if arm == WARM else [POOLED] if arm in DATA_ARMS and arm != POOLED else [WARM]
            after[_name(seed, arm)] = [_name(seed, one) for one in first]
    side_by_side(jobs, after, folder.path / "logs", int(recipe.options.get("processes", PROCESSES)))
    homes = {arm: [RunFolder(folder.path / _name(seed, arm)) for seed in range(seeds)] for arm in arms}
    stages = {arm: stage_of(arm) for arm in arms}
    scores, text = measures.compare(homes, stages, NOTES)
    write_json(folder.path / "reproduce.json", {"seeds": seeds, "arms": {arm: ARMS[arm] for arm in arms}, **scores})
    write_text(folder.path / "reproduce.md", text)
    print(text)


def _name(seed: int, arm: str) -> str:
    return f"seed{seed}/{arm}"


def stage_of(arm: str) -> str:
    """Whose checkpoint an arm is judged by."""
    return "sft" if arm in (WARM, "sft") else "grpo"


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe of one arm and seed. The SFT arm takes as many steps as GRPO, of as many questions."""
    chosen = {"data.rl_source": "variance", "data.selection.keep": KEEP}
    settings: dict[str, Any] = (chosen if arm in DATA_ARMS else {"data.rl_source": "all"}) | ARMS[arm]
    settings["launch.threads"] = 1
    options = {key: value for key, value in recipe.options.items() if key not in OWN}
    recipe = recipe.model_copy(update={"options": options})
    if arm == "sft":
        assert recipe.grpo is not None
        count = recipe.grpo.prompts
        size = {"max_steps": recipe.grpo.steps, "batch": count, "micro_batch": count}
        settings |= {f"sft.{key}": value for key, value in size.items()}
        settings |= {"sft.unverified": False, "sft.optim.lr": recipe.grpo.optim.lr, "sft.optim.warmup": 0.0}
    return variant(recipe, settings, seed, arm)


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> None:
    """Every stage of one arm in its run folder."""
    road = load_module(project_dir() / "training" / "road.py")
    settings, home = arm_recipe(recipe, arm, seed), RunFolder(root / _name(seed, arm))
    print(f"seed {seed}, arm {arm}: {NOTES[arm]}", file=sys.stderr)
    if arm == "sft":
        settings = _from_warm_start(settings, root / _name(seed, WARM))
    start(home, settings, domain, None, command_line())
    if arm == WARM:
        road.main(settings, domain, home, only=["data", "sft", "eval_sft"])
        return
    _prepare(root, settings, home, arm, seed)
    stages = ["sft", "eval_sft"] if arm == "sft" else ["grpo", "eval_grpo"]
    road.main(settings, domain, home, only=["data", *(["pool"] if arm in DATA_ARMS else []), *stages])


def _from_warm_start(settings: Recipe, warm: Path) -> Recipe:
    """Training that begins at the warm start's weights."""
    model = {"path": str(RunFolder(warm).final("sft")), "freeze_vision": False}
    return settings.model_copy(update={"model": type(settings.model).model_validate(model)})


def _prepare(root: Path, settings: Recipe, home: RunFolder, arm: str, seed: int) -> None:
    """The warm start's data and models, cut and spoilt as the arm asks; once."""
    mark = home.data / "prepared.json"
    if mark.is_file():
        return
    warm = RunFolder(root / _name(seed, WARM))
    every = read_samples(warm.data / "rl.parquet")
    if arm in DATA_ARMS:
        every = pool.spoilt(every, seed)
        if arm != POOLED:
            drawn = RunFolder(root / _name(seed, POOLED)).data / "trials"
            shutil.copytree(drawn, home.data / "trials", dirs_exist_ok=True)
    kept = [sample for sample in every if sample.answer.kind.value in settings.data.rl_kinds]
    share(warm, home, () if arm == "sft" else ("base", "sft"))
    write_samples(home.data / "rl.parquet", kept)
    if arm == "sft":
        write_samples(home.data / "sft.parquet", pool.clean(every))
    elif arm in DATA_ARMS:
        write_samples(home.data / "sft.parquet", [])
    write_json(mark, {"arm": arm, "questions": len(kept)})
