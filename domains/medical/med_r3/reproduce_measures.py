"""What Med-R3's arms are compared by: accuracy where facts are known and where they are not, searches, sources."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.suites.seeded import Finding, PairedClaim, arms_table, findings_table, judge

shown = load_module(Path(__file__).parent / "measures.py")

SUITES = ("med_r3_unknown", "med_r3_known")
SEEDS_ASKED = 3
"""Seeds before anything is decided [reconstructed: no pass rule is stated]."""
CLAIMS = (
    PairedClaim("RL adds to the cold start on unknown facts", "unknown", "staged", "cold"),
    PairedClaim("the searches decide unknown facts", "unknown", "staged", "staged, no search"),
    PairedClaim("the joint reward beats right answers alone, unknown, two facts", "unknown 2", "joint", "outcome"),
    PairedClaim("three stages beat right answers alone, unknown, two facts", "unknown 2", "staged", "outcome"),
    PairedClaim("three stages are no worse than the joint reward", "unknown 2", "staged", "joint", -0.02),
    PairedClaim("retrieval first loses on known facts", "known", "staged", "reversed"),
    PairedClaim("retrieval first searches more for known facts", "searched known", "reversed", "staged"),
    PairedClaim("training on results does harm", "unknown", "staged", "unmasked"),
    PairedClaim("and makes searches go wrong", "faults", "unmasked", "staged"),
    PairedClaim("evidence weights raise the share of the best source", "reliable", "staged", "flat", 0.05),
    PairedClaim("and cost no accuracy", "unknown", "staged", "flat", -0.02),
)
PLAIN = ("searches", "tokens said")
Answers = Mapping[str, Mapping[str, Any]]
"""Question -> its answer."""


def compare(
    homes: Mapping[str, Sequence[RunFolder]], rows: Mapping[str, tuple[str, str]], notes: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says). `rows`: row -> (arm, folder of its evaluation)."""
    given = {row: [answers(home, stage) for home in homes[arm]] for row, (arm, stage) in rows.items()}
    scores = {row: [measure(own) for own in seeds] for row, seeds in given.items()}
    findings = [_judged(claim, given) for claim in CLAIMS if {claim.better, claim.worse} <= set(given)]
    told = {row: notes[row.rpartition(", ")[2]] for row in given}
    text = arms_table(scores, told, PLAIN) + "\n" + findings_table(findings, SEEDS_ASKED)
    return {"scores": scores, "claims": [found.to_dict() for found in findings]}, text


def answers(home: RunFolder, stage: str) -> dict[str, dict[str, Any]]:
    """Question -> its answer as `measures.answers` gives it, with what is known of the question."""
    made: dict[str, dict[str, Any]] = {}
    for suite in SUITES:
        path = home.eval / stage / f"{suite}.samples.jsonl"
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record, answer in zip(records, shown.answers(records), strict=True):
            made[f"{suite} {record['id']}"] = {**answer, **told_of(record)}
    return made


def told_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a question's facts are known and how many it takes, from its family ("unknown 2")."""
    group = record["groups"]
    kind, _, hops = str(group["family"]).partition(" ")
    return {"known": kind == "known", "hops": int(hops), "disputed": str(group["disputed"]) == "True"}


def measure(given: Answers) -> dict[str, float]:
    """Columns of the table; what no question says anything about is left out."""
    every = list(given.values())
    own = {name: [value(one) for one in every if chosen(one)] for name, (chosen, value) in VALUES.items()}
    made = {name: sum(values) / len(values) for name, values in own.items() if values}
    whole = shown.summarise(every)
    return made | {"searches": float(whole["calls"] or 0.0), "tokens said": float(whole["tokens"] or 0.0)}


def _judged(claim: PairedClaim, given: Mapping[str, Sequence[Answers]]) -> Finding:
    """Over the questions that the measure is of in both arms."""
    chosen, value = VALUES[claim.measure]
    sides: list[list[dict[str, float]]] = [[], []]
    for better, worse in zip(given[claim.better], given[claim.worse], strict=True):
        names = [name for name in better if chosen(better[name]) and chosen(worse[name])]
        for side, own in zip(sides, (better, worse), strict=True):
            side.append({name: value(own[name]) for name in names})
    return judge(claim, sides[0], sides[1], SEEDS_ASKED)


def _looked(one: Mapping[str, Any]) -> bool:
    return "search" in one["kinds"]


def _right(one: Mapping[str, Any]) -> float:
    return float(one["right"])


Measure = tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], float]]
VALUES: dict[str, Measure] = {
    "unknown": (lambda one: not one["known"], _right),
    "unknown 1": (lambda one: not one["known"] and one["hops"] == 1, _right),
    "unknown 2": (lambda one: not one["known"] and one["hops"] == 2, _right),
    "disputed": (lambda one: not one["known"] and one["disputed"], _right),
    "known": (lambda one: one["known"], _right),
    "searched unknown": (lambda one: not one["known"], lambda one: float(_looked(one))),
    "searched known": (lambda one: one["known"], lambda one: float(_looked(one))),
    "faults": (lambda one: True, lambda one: float(bool({"bad", "forged", "over"} & set(one["kinds"])))),
    "reliable": (lambda one: not one["known"] and _looked(one), lambda one: float(one["parts"].get("reliable", 0.0))),
}
"""Measure -> which questions it is of, and what an answer's value is."""
