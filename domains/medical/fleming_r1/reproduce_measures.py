"""What Fleming-R1's arms are compared by: head and tail, steps of the path, what still teaches, what is forgotten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.seeded import Finding, PairedClaim, arms_table, findings_table, judge

teacher = load_module(Path(__file__).parent / "teacher.py")

SUITES = ("rods_easy", "rods_moderate", "rods_difficult")
SEEDS_ASKED = 5
"""Seeds before anything is decided [reconstructed: no pass rule names a number]."""
MINED_ANSWERS = "answers mined"
CLAIMS = (
    PairedClaim("stage 1 adds to the cold start", "all", "first", "cold"),
    PairedClaim("stage 2 adds to stage 1", "all", "mined", "first"),
    PairedClaim("mining with k doubled beats a random re-draw on rare diseases", "tail", "mined", "random"),
    PairedClaim("and on three steps", "3 steps", "mined", "random"),
    PairedClaim("two stages are no worse than one on rare diseases", "tail", "random", "plain", -0.01),
    PairedClaim("and on three steps", "3 steps", "random", "plain", -0.01),
    PairedClaim("mining alone, k as before, beats a random re-draw on rare diseases", "tail", "mined_k", "random"),
    PairedClaim("and on three steps", "3 steps", "mined_k", "random"),
    PairedClaim("more answers add to mining on rare diseases", "tail", "mined", "mined_k"),
    PairedClaim("mining costs at most a point of single steps", "1 step", "mined", "first", -0.01),
    PairedClaim("mining leaves more groups that teach, k as before", "informative", "mined_k", "random"),
    PairedClaim("and with k doubled", "informative", "mined", "random"),
    PairedClaim("mining pays less where advantages are divided by the deviation", "all", "margin", "margin_std"),
)
MARGINS = {"margin": ("mined", "random"), "margin_std": ("mined_std", "random_std")}
"""Difference of two arms, question by question, as something to compare."""
Values = dict[str, dict[str, float]]
"""Measure of a claim -> question or step -> value."""


def compare(homes: Mapping[str, Sequence[RunFolder]], notes: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says)."""
    given = {arm: [rows_of(home) for home in seeds] for arm, seeds in homes.items()}
    scores = {arm: [columns(rows, homes[arm][seed]) for seed, rows in enumerate(seeds)] for arm, seeds in given.items()}
    values = {
        arm: [by_question(rows) | {"informative": informative(homes[arm][seed])} for seed, rows in enumerate(seeds)]
        for arm, seeds in given.items()
    }
    for name, (up, down) in MARGINS.items():
        if {up, down} <= set(values):
            values[name] = [_margin(*pair) for pair in zip(values[up], values[down], strict=True)]
    findings = [_judged(claim, values) for claim in CLAIMS if {claim.better, claim.worse} <= set(values)]
    text = arms_table(scores, notes, (MINED_ANSWERS,)) + "\n" + findings_table(findings, SEEDS_ASKED)
    return {"scores": scores, "claims": [found.to_dict() for found in findings]}, text


def rows_of(home: RunFolder) -> list[dict[str, Any]]:
    """Scored questions of all suites under the arm's model."""
    folder = home.eval / ("grpo" if home.final("grpo").is_dir() else "sft")
    lines = [line for suite in SUITES for line in (folder / f"{suite}.samples.jsonl").read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def by_question(rows: Sequence[Mapping[str, Any]]) -> Values:
    """Right or wrong, of the questions that each measure takes."""
    made: Values = {name: {} for name in ("all", "tail", "1 step", "3 steps")}
    for row in rows:
        facts = row["doc"]["metadata"]
        mine = {"all": True, "tail": facts["tail"], "1 step": facts["hops"] == 1, "3 steps": facts["hops"] == 3}
        for name in (name for name, holds in mine.items() if holds):
            made[name][row["id"]] = float(row["acc"])
    return made


def columns(rows: Sequence[Mapping[str, Any]], home: RunFolder) -> dict[str, float]:
    """Columns of the table: shares in [0, 1], and how many answers the mining sampled."""
    cells: dict[str, list[float]] = {}
    for row in rows:
        facts = row["doc"]["metadata"]
        cells.setdefault(f"{facts['hops']} {'tail' if facts['tail'] else 'head'}", []).append(float(row["acc"]))
    made = {name: fmean(own) for name, own in sorted(cells.items())}
    made["all"] = fmean(float(row["acc"]) for row in rows)
    made["guessed"] = fmean(teacher.GUESSED.strip() in run["output"] for row in rows for run in row["runs"])
    steps = informative(home)
    if steps:
        made["informative groups"] = fmean(steps.values())
    mined = home.data / "variance.json"
    if mined.is_file():
        facts = json.loads(mined.read_text(encoding="utf-8"))
        made[MINED_ANSWERS] = float(facts["k"] * facts["candidates"])
    return made


def informative(home: RunFolder) -> dict[str, float]:
    """Step -> share of its groups that are neither all right nor all wrong."""
    if not home.metrics.is_file():
        return {}
    steps = [row for row in read_metrics(home.metrics) if row["stage"] == "grpo"]
    return {f"step {row['step']}": 1.0 - float(row["zero_advantage_groups"]) for row in steps}


def _margin(up: Values, down: Values) -> Values:
    return {"all": {name: value - down["all"][name] for name, value in up["all"].items()}}


def _judged(claim: PairedClaim, values: Mapping[str, Sequence[Values]]) -> Finding:
    sides = [[seed[claim.measure] for seed in values[arm]] for arm in (claim.better, claim.worse)]
    return judge(claim, sides[0], sides[1], SEEDS_ASKED)
