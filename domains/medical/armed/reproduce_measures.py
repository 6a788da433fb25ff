"""What ARMed's arms are compared by: open answers, sides, spread of the reward, and the verdicts of the claims.

Pass rule: adaptive above raw by two deviations between seeds; its own share of the merit only where it is above the
affine control by one. Both are asked of three seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow.parquet as pq

from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.seeded import PairedClaim, Values, arms_table, findings_table, judge

answers = load_module(Path(__file__).parent / "measures.py")
diagnostics = load_module(Path(__file__).parent / "diagnostics.py")

SEEDS_ASKED = 3
OPEN, CLOSED, UNSEEN = "scans_open", "scans_closed", "scans_ood"
COUNTERS = {"raw_sd": "sd of s", "semantic_sd": "sd of r_sem", "conflicts": "contradicting"}
"""Counter of `adaptive.py` -> column; means over the steps, deviations inside groups."""
GROUPS = 1_000_000
"""More than the groups of a step."""
CLAIMS = (
    PairedClaim("RL on words adds to the cold start", "right", "text", "cold"),
    PairedClaim("RL on words and mapped meaning adds to the cold start", "right", "adaptive", "cold"),
    PairedClaim("a raw similarity adds to words", "right", "raw", "text"),
    PairedClaim("a line adds to words", "right", "affine", "text"),
    PairedClaim("the group's own stretch adds to words", "right", "minmax", "text"),
    PairedClaim("the adaptive map adds to words", "right", "adaptive", "text"),
    PairedClaim("the adaptive map adds to the raw similarity", "right", "adaptive", "raw"),
    PairedClaim("the adaptive map adds to a line", "right", "adaptive", "affine"),
    PairedClaim("the adaptive map adds to the group's own stretch", "right", "adaptive", "minmax"),
    PairedClaim("without the guard more answers are on the wrong side", "wrong side", "unguarded", "adaptive"),
    PairedClaim("meaning without a guard confuses sides more often than words", "wrong side", "unguarded", "text"),
    PairedClaim("a cold start on own chains adds to as many steps of RL", "right", "chains", "again"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`better` is above `worse` by `deviations` between seeds, in the share of open answers that are right."""

    text: str
    better: str
    worse: str
    deviations: float


RULES = (
    Rule("the map repairs the collapse", "adaptive", "raw", 2.0),
    Rule("and does more than a line would", "adaptive", "affine", 1.0),
)


def compare(
    homes: Mapping[str, Sequence[RunFolder]], stages: Mapping[str, str], notes: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says); the seeds of every arm in the same order."""
    scores = {arm: [measure(home, stages[arm]) for home in seeds] for arm, seeds in homes.items()}
    values = {arm: [by_question(home, stages[arm]) for home in seeds] for arm, seeds in homes.items()}
    findings = [
        judge(
            claim,
            [seed[claim.measure] for seed in values[claim.better]],
            [seed[claim.measure] for seed in values[claim.worse]],
            SEEDS_ASKED,
        )
        for claim in CLAIMS
        if {claim.better, claim.worse} <= set(homes)
    ]
    rules = [apply(rule, scores) for rule in RULES if {rule.better, rule.worse} <= set(homes)]
    text = "\n".join([arms_table(scores, notes), findings_table(findings, SEEDS_ASKED), rules_table(rules)])
    return {"scores": scores, "claims": [found.to_dict() for found in findings], "rules": rules}, text


def records(home: RunFolder, stage: str, suite: str) -> list[dict[str, Any]]:
    """One suite's scored questions."""
    path = home.eval / stage / f"{suite}.samples.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def open_records(home: RunFolder, stage: str) -> list[dict[str, Any]]:
    """The open questions, seen pairs of shape and zone and unseen ones."""
    every = [*records(home, stage, OPEN), *records(home, stage, UNSEEN)]
    return [record for record in every if answers.is_open(record)]


def by_question(home: RunFolder, stage: str) -> dict[str, Values]:
    """Measure -> question -> value, of the open questions."""
    found = {record["id"]: answers.answer(record) for record in open_records(home, stage)}
    sided = {name: own["wrong_side"] for name, own in found.items() if "wrong_side" in own}
    return {"right": {name: own["right"] for name, own in found.items()}, "wrong side": sided}


def measure(home: RunFolder, stage: str) -> dict[str, float]:
    """Columns of the table, shares in [0, 1]."""
    found = answers.summary(open_records(home, stage))
    values = {answers.COLUMNS[name]: value for name, value in found.items()}
    values["right, unseen pairs"] = _credit([one for one in records(home, stage, UNSEEN) if answers.is_open(one)])
    values["closed"] = _credit(records(home, stage, CLOSED))
    steps = [row for row in read_metrics(home.metrics) if row["stage"] == "grpo"]
    for counter, column in COUNTERS.items():
        key = f"method/adaptive/{counter}"
        if steps and key in steps[0]:
            values[column] = fmean(row[key] for row in steps)
    return values | reward_spread(home)


def reward_spread(home: RunFolder) -> dict[str, float]:
    """How the whole reward varies inside groups, over all answers of training; nothing without training."""
    groups, given = list[int](), list[float]()
    for number, path in enumerate(sorted(home.rollouts.glob("*.parquet"))):
        table = pq.read_table(path, columns=["group", "reward"]).to_pydict()
        groups += [number * GROUPS + group for group in table["group"]]
        given += table["reward"]
    if not given:
        return {}
    found = diagnostics.spread(given, groups)
    return {"sd of the reward": found.sd, "told apart": found.resolution, "dead groups": found.flat}


def _credit(rows: Sequence[Mapping[str, Any]]) -> float:
    return fmean(row["credit"] for row in rows)


def apply(rule: Rule, scores: Mapping[str, Sequence[Values]]) -> dict[str, Any]:
    """The rule on the seeds at hand: not decided under SEEDS_ASKED, else holds or fails."""
    column = answers.COLUMNS["right"]
    better, worse = ([seed[column] for seed in scores[arm]] for arm in (rule.better, rule.worse))
    gain = fmean(better) - fmean(worse)
    found = {"rule": rule.text, "better": rule.better, "worse": rule.worse, "difference": gain}
    if len(better) < SEEDS_ASKED:
        return found | {"asked": None, "verdict": "not decided"}
    asked = rule.deviations * (fmean(stdev(seeds) ** 2 for seeds in (better, worse))) ** 0.5
    return found | {"asked": asked, "verdict": "holds" if gain > asked else "fails"}


def rules_table(rules: Sequence[Mapping[str, Any]]) -> str:
    """The pass rules in points."""
    lines = ["| pass rule, open answers right in any wording | difference | asked for | verdict |", "|---|---|---|---|"]
    for rule in rules:
        asked = f"{100 * rule['asked']:.1f}" if rule["asked"] is not None else f"{SEEDS_ASKED} seeds"
        arms = f"{rule['better']} - {rule['worse']}"
        lines.append(f"| {rule['rule']} ({arms}) | {100 * rule['difference']:+.1f} | {asked} | {rule['verdict']} |")
    return "\n".join(lines) + "\n"
