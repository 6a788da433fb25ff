"""The paper's claim at small scale: six arms over the embedded ledgers (section 10 of the method sheet).

    mmreason reproduce dianjin-r1                       three seeds
    mmreason reproduce dianjin-r1 options.seeds=1       one seed; every verdict is then 'not decided'
    mmreason reproduce dianjin-r1 options.arms=abg      some arms; b is always among them

a answers only; b verified chains; c unverified chains; d = b + GRPO on the multiple-choice pool; e = b + GRPO on the
pass-rate pool; f = d with the accuracy reward alone. d, e and f share the cold start of their seed. Each arm is a run
folder, so a stopped reproduction goes on at the arm, stage and step where it was.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.config import Domain, Recipe
from mmreason.config.strict import validate
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records.io import read_samples, write_samples
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start
from mmreason.run.metrics import read_metrics
from mmreason.suites.claims import Claim, markdown
from mmreason.suites.results import read_results

SMALLER: dict[str, Any] = {"options.ledger.items": 3000, "sft.max_steps": 600, "grpo.steps": 30}
"""A smaller task than the `cpu` profile, meant to finish all arms and seeds within 40 minutes on two cores."""
ARMS: dict[str, dict[str, Any]] = {
    "b": {},
    "a": {"sft.target": "answer"},
    "c": {"sft.unverified": True},
    "d": {"data.rl_kinds": ["choice"]},
    "e": {"data.rl_kinds": ["choice"], "data.rl_source": "passrate"},
    "f": {"data.rl_kinds": ["choice"], "grpo.reward.mode": "accuracy"},
    "g": {},
}
NOTES = {
    "a": "SFT on answers only",
    "b": "SFT on verified chains",
    "c": "SFT on unverified chains",
    "d": "b + GRPO, multiple-choice pool, product reward",
    "e": "b + GRPO, pass-rate pool",
    "f": "b + GRPO, multiple-choice pool, accuracy reward alone",
    "g": "b + GRPO, the whole pool of teacher failures (what the cpu profile does)",
}
CLAIMS = (
    Claim("verified chains beat bare answers", "open accuracy", "b", "a"),
    Claim("verified chains beat unverified ones", "open accuracy", "b", "c"),
    Claim("GRPO on multiple choice lifts multiple choice", "mcq accuracy", "d", "b"),
    Claim("GRPO on multiple choice does not lift open questions", "open accuracy", "b", "d"),
    Claim("the pass-rate pool beats the teacher-failed pool", "mcq accuracy", "e", "d"),
    Claim("without the format term the format rate falls", "format", "d", "f"),
    Claim("GRPO adds to the held-out reward of its cold start", "reward", "g", "b"),
)


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every arm of every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    seeds, arms = options(recipe)
    scores: dict[str, dict[str, list[float]]] = {arm: {} for arm in sorted(arms)}
    for seed in range(seeds):
        for arm in arms:
            print(f"seed {seed}, arm {arm}: {NOTES[arm]}", file=sys.stderr)
            home = run_arm(recipe, domain, folder.path / f"seed{seed}", arm, seed)
            for metric, value in measure(home, "sft" if arm in "abc" else "grpo").items():
                scores[arm].setdefault(metric, []).append(value)
    claims = [claim for claim in CLAIMS if {claim.better, claim.worse} <= set(arms)]
    text = markdown(scores, claims, NOTES)
    write_json(folder.path / "reproduce.json", {"seeds": seeds, "smaller": SMALLER, "scores": scores})
    write_text(folder.path / "reproduce.md", text)
    print(text)


def options(recipe: Recipe) -> tuple[int, list[str]]:
    """Seeds and arms to run, in the order of ARMS; b comes first, since the others take its data."""
    seeds, arms = recipe.options.get("seeds", 3), recipe.options.get("arms", "".join(ARMS))
    if not isinstance(seeds, int) or seeds < 1:
        raise UserError(f"options.seeds is {seeds!r}; expected a whole number from 1")
    if not isinstance(arms, str) or "b" not in arms or not set(arms) <= set(ARMS):
        raise UserError(f"options.arms is {arms!r}; expected letters of {''.join(sorted(ARMS))}, b among them")
    return seeds, [arm for arm in ARMS if arm in arms]


def arm_recipe(recipe: Recipe, arm: str, seed: int) -> Recipe:
    """The recipe with the reproduction's sizes, the arm's settings and one seed for weights, data and sampling."""
    values = recipe.model_dump(mode="json")
    values["options"] = {key: value for key, value in recipe.options.items() if key not in ("seeds", "arms")}
    settings = {**SMALLER, **ARMS[arm]}
    settings |= {"seeds": {"weights": seed, "data": seed, "sampling": seed}, "options.ledger.world": seed}
    for key, value in settings.items():
        *parents, last = key.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return validate(Recipe, values, f"arm {arm}")


def run_arm(recipe: Recipe, domain: Domain, root: Path, arm: str, seed: int) -> RunFolder:
    """Every stage of one arm. Arm b, the first, builds the data of its seed and the cold start of the RL arms."""
    road = load_module(project_dir() / "training" / "road.py")
    settings = arm_recipe(recipe, arm, seed)
    home = RunFolder(root / arm)
    stages = ["sft", "eval_sft"] if arm in "abc" else ["grpo", "eval_grpo"]
    start(home, settings, domain, None, command_line())
    if arm != "b":
        share(RunFolder(root / "b"), home, settings, cold_start=arm not in "ac")
    road.main(settings, domain, home, only=["data", *(["pool"] if arm == "e" else []), *stages])
    return home


def share(source: RunFolder, home: RunFolder, recipe: Recipe, *, cold_start: bool) -> None:
    """Copy arm b's data, with the answer kinds that this arm's RL takes, and for RL its cold start."""
    if home.is_done("data"):
        return
    shutil.copytree(source.data, home.data, dirs_exist_ok=True)
    pool = [s for s in read_samples(source.data / "rl.parquet") if s.answer.kind.value in recipe.data.rl_kinds]
    write_samples(home.data / "rl.parquet", pool)
    for stage in ("base", "sft") if cold_start else ():
        shutil.copytree(source.final(stage), home.final(stage), dirs_exist_ok=True)
    home.mark_done("data", shared_from=source.path.name, rl=len(pool))


def measure(home: RunFolder, stage: str) -> dict[str, float]:
    """Scores of one arm on both suites, and the share of groups without a gradient."""
    results = {form: read_results(home.eval / stage / f"ledger_{form}.json") for form in ("open", "mcq")}
    rows = {form: result["results"][f"ledger_{form}"] for form, result in results.items()}
    values = {f"{form} accuracy": row["acc,none"] for form, row in rows.items()}
    for name, key in (("format", "format,none"), ("reward", "reward,none"), ("empty think", "think_empty_share,none")):
        values[name] = fmean(row[key] for row in rows.values())
    if stage == "grpo":
        steps = [row for row in read_metrics(home.metrics) if row["stage"] == "grpo"]
        values["dead groups"] = fmean(row["zero_advantage_groups"] for row in steps)
    return values
