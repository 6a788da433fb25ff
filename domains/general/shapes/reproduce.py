"""Does RL lift a policy that can see? Cold start and GRPO with three seeds, scored on pictures that neither has seen.

    mmreason reproduce shapes                       three seeds, minutes each
    mmreason reproduce shapes options.seeds=1       one seed; the verdict is then 'not decided'

Eyesight is the share of thoughts whose four words are right, reward is format times accuracy of the answer: RL should
lift the second and leave the first where it was. Each seed sets weights, data and sampling alike and is a run folder,
so a stopped reproduction goes on at the stage and step where it was.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mmreason.config import Domain, Recipe
from mmreason.config.strict import validate
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.run.files import write_json, write_text
from mmreason.run.folder import RunFolder
from mmreason.run.manifest import command_line, start
from mmreason.suites.claims import MIN_SEEDS, Claim, Ruling, markdown
from mmreason.suites.results import read_results

RISE = 0.15
"""What RL must add to the reward in every seed."""
NOTES = {"sft": "cold start", "grpo": "cold start + GRPO"}
CLAIM = Claim("GRPO adds to the held-out reward of its cold start", "reward", "grpo", "sft")
STAGES = ("data", "sft", "eval_sft", "grpo", "eval_grpo")


def main(recipe: Recipe, domain: Domain, folder: RunFolder) -> None:
    """Run every seed, then write reproduce.json and reproduce.md. Raises UserError on bad options."""
    seeds = recipe.options.get("seeds", MIN_SEEDS)
    if not isinstance(seeds, int) or seeds < 1:
        raise UserError(f"options.seeds is {seeds!r}; expected a whole number from 1")
    road = load_module(project_dir() / "training" / "road.py")
    scores: dict[str, dict[str, list[float]]] = {stage: {"reward": [], "eyesight": []} for stage in NOTES}
    for seed in range(seeds):
        print(f"seed {seed}", file=sys.stderr)
        home, settings = RunFolder(folder.path / f"seed{seed}"), with_seed(recipe, seed)
        start(home, settings, domain, None, command_line())
        road.main(settings, domain, home, only=STAGES)
        for stage in NOTES:
            for metric, value in measure(home.eval / stage).items():
                scores[stage][metric].append(value)
    text = table(scores)
    write_json(folder.path / "reproduce.json", {"seeds": seeds, "scores": scores})
    write_text(folder.path / "reproduce.md", text)
    print(text)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with one seed for weights, data and sampling."""
    values = recipe.model_dump(mode="json")
    values |= {"seeds": dict.fromkeys(("weights", "data", "sampling"), seed), "options": {}}
    return validate(Recipe, values, f"seed {seed}")


def measure(results: Path) -> dict[str, float]:
    """Reward and eyesight of one evaluated stage, from the suite's results and answers."""
    reward = read_results(results / "shapes.json")["results"]["shapes"]["reward,none"]
    rows = [json.loads(line) for line in (results / "shapes.samples.jsonl").read_text(encoding="utf-8").splitlines()]
    seen = [thought(run["output"]) == row["target"] for row in rows for run in row["runs"]]
    return {"reward": reward, "eyesight": sum(seen) / len(seen)}


def thought(output: str) -> str:
    """What stands in the think block."""
    return output.partition("<think>")[2].partition("</think>")[0].strip()


def table(scores: dict[str, dict[str, list[float]]]) -> str:
    """Scores and claim in the form of every reproduction, the seeds one by one, and the margin asked for."""
    lines = ["", "| seed | " + " | ".join(f"{metric}, {stage}" for metric in scores["sft"] for stage in NOTES) + " |"]
    lines.append("|---" * (2 * len(scores["sft"]) + 1) + "|")
    columns = [scores[stage][metric] for metric in scores["sft"] for stage in NOTES]
    for seed, row in enumerate(zip(*columns, strict=True)):
        lines.append(f"| {seed} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |")
    rises = [up - down for up, down in zip(scores["grpo"]["reward"], scores["sft"]["reward"], strict=True)]
    lines += ["", f"Rise of at least {100 * RISE:.0f} points in every seed: {margin(rises)}."]
    return markdown(scores, [CLAIM], NOTES) + "\n".join(lines) + "\n"


def margin(rises: list[float]) -> Ruling:
    """Whether the reward rose by `RISE` in every seed; too few seeds decide nothing."""
    if len(rises) < MIN_SEEDS:
        return Ruling.NOT_DECIDED
    return Ruling.HOLDS if min(rises) >= RISE else Ruling.FAILS
