"""What the arms are compared by: accuracy on the val images with intervals, paired differences, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.intervals import cluster_bootstrap
from mmreason.suites.question_only import NAME
from mmreason.suites.results import read_records
from mmreason.suites.seeded import PairedClaim, Values, arms_table, findings_table, judge

SUITE = "pneumonia_mnist"
SEEDS_ASKED = 3
FLOOR = 0.8
"""Accuracy asked of the whole road; always one letter has 0.5."""
UNSEEN = "question only"
"""Measure: the arm's model asked without pictures."""
CLAIMS = (
    PairedClaim("pictures are read: the whole road beats training without them", "accuracy", "rl", "blind"),
    PairedClaim("pictures are read: the cold start beats training without them", "accuracy", "cold", "blind"),
    PairedClaim("RL lifts its own cold start", "accuracy", "rl", "cold"),
    PairedClaim("RL lifts more than as many updates of cross-entropy", "accuracy", "rl", "more"),
)


def stage_of(arm: str) -> str:
    """Whose checkpoint an arm is judged by."""
    return "grpo" if arm == "rl" else "sft"


def accuracies(home: RunFolder, arm: str, unseen: bool = False) -> dict[str, float]:
    """Question -> 1 or 0; with `unseen`, and always for the arm without pictures, of the question-only answers."""
    results = home.eval / stage_of(arm) / f"{SUITE}.json"
    own = results.with_name(f"{SUITE}.{NAME}.samples.jsonl") if unseen or arm == "blind" else results
    return {record["id"]: float(record["acc"]) for record in read_records(own)}


def compare(homes: Mapping[str, Sequence[RunFolder]], notes: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says); the seeds of every arm in the same order."""
    held = {arm: [accuracies(home, arm) for home in seeds] for arm, seeds in homes.items()}
    scores = {arm: [measure(home, arm) for home in seeds] for arm, seeds in homes.items()}
    levels = {arm: level(seeds) for arm, seeds in held.items()}
    findings = [
        judge(claim, held[claim.better], held[claim.worse], SEEDS_ASKED)
        for claim in CLAIMS
        if {claim.better, claim.worse} <= set(homes)
    ]
    text = "\n".join([arms_table(scores, notes), levels_table(levels), findings_table(findings, SEEDS_ASKED)])
    return {"scores": scores, "levels": levels, "claims": [found.to_dict() for found in findings]}, text


def measure(home: RunFolder, arm: str) -> dict[str, float]:
    """Columns of the table, shares in [0, 1]."""
    seen = accuracies(home, arm)
    values = {"accuracy": sum(seen.values()) / len(seen)}
    if arm != "blind":
        unseen = accuracies(home, arm, unseen=True)
        values[UNSEEN] = sum(unseen.values()) / len(unseen)
    steps = [row for row in read_metrics(home.metrics) if row["stage"] == "grpo"]
    if steps:
        values["reward, first step"], values["reward, last step"] = steps[0]["reward"], steps[-1]["reward"]
        values["dead groups"] = sum(row["zero_advantage_groups"] for row in steps) / len(steps)
    return values


def level(seeds: Sequence[Values]) -> dict[str, Any]:
    """Accuracy over all seeds with an interval that resamples images, and whether it lies above the floor."""
    pairs = [(name, value) for seed in seeds for name, value in seed.items()]
    found = cluster_bootstrap([value for _, value in pairs], [name for name, _ in pairs])
    by_seed = [sum(seed.values()) / len(seed) for seed in seeds]
    verdict = "not decided" if len(seeds) < SEEDS_ASKED or found.low <= FLOOR <= found.high else ""
    return {
        **found._asdict(),
        "by_seed": by_seed,
        "images": len(seeds[0]),
        f"at least {FLOOR:g}": verdict or ("holds" if found.low > FLOOR else "fails"),
    }


def levels_table(levels: Mapping[str, Mapping[str, Any]]) -> str:
    """One line an arm."""
    name = f"at least {FLOOR:g}"
    lines = [f"| arm | accuracy, 95 % interval | by seed | {name} |", "|---|---|---|---|"]
    for arm, one in levels.items():
        seeds = ", ".join(f"{100 * value:.1f}" for value in one["by_seed"])
        shown = f"{100 * one['mean']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
        lines.append(f"| {arm} | {shown} | {seeds} | {one[name]} |")
    return "\n".join(lines) + "\n"
