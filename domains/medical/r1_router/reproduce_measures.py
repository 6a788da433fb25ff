"""What R1-Router's arms are compared by: accuracy, routing, calls, how soon routing was learnt, and the verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.suites.seeded import Finding, PairedClaim, arms_table, findings_table, judge

evidence = load_module(Path(__file__).parent / "measures.py")

SUITE = "router_questions"
SEEDS_ASKED = 3
"""Seeds before anything is decided; the small-scale check states no number, three are the least of this suite."""
LEARNT = 0.8
"""Share of right bases in training from which routing counts as learnt [reconstructed]."""
CORRUPT = "corrupt_text"
CLAIMS = (
    PairedClaim("Step-GRPO mends the routing of its cold start", "routing", "teacher", "cold"),
    PairedClaim("and the answers", "accuracy", "teacher", "cold"),
    PairedClaim("step rewards teach routing better than the outcome alone", "routing", "teacher", "outcome"),
    PairedClaim("the same in the policy's own episodes", "routing", "own", "outcome"),
    PairedClaim("own history is at least as good at test as the teacher's", "accuracy", "own", "teacher", -0.02),
    PairedClaim("SFT on the same trajectories routes as well, within 5 points", "routing", "sft", "teacher", -0.05),
    PairedClaim("SFT is worse where a base is corrupted", "accuracy", f"own, {CORRUPT}", f"sft, {CORRUPT}"),
    PairedClaim("routing holds without the similarity half, within 5 points", "routing", "no_query", "teacher", -0.05),
    PairedClaim("without the routing half it does not, by more than 10", "routing", "teacher", "no_route", 0.1),
)
PLAIN = ("calls", "tokens said")


def compare(
    homes: Mapping[str, Sequence[RunFolder]],
    stages: Mapping[str, str],
    controls: Sequence[str],
    notes: Mapping[str, str],
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says). `stages`: arm -> its stage; `controls`: evaluations of each
    arm under other options."""
    rows = {arm: (arm, stage) for arm, stage in stages.items()}
    rows |= {f"{arm}, {name}": (arm, f"{stage}_{name}") for name in controls for arm, stage in stages.items()}
    given = {row: [_answers(home, stage) for home in homes[arm]] for row, (arm, stage) in rows.items()}
    scores = {row: [_columns(list(own.values())) for own in seeds] for row, seeds in given.items()}
    findings = [_judged(claim, given) for claim in CLAIMS if {claim.better, claim.worse} <= set(given)]
    told = {row: notes[arm] + row.removeprefix(arm) for row, (arm, _) in rows.items()}
    curves = {arm: [curve(home) for home in own] for arm, own in homes.items() if stages[arm] == "grpo"}
    text = "\n".join(
        [arms_table(scores, told, PLAIN), findings_table(findings, SEEDS_ASKED), _by_hops(given), _learning(curves)]
    )
    return {"scores": scores, "claims": [found.to_dict() for found in findings], "curves": curves}, text


def _answers(home: RunFolder, stage: str) -> dict[str, dict[str, Any]]:
    path = home.eval / stage / f"{SUITE}.samples.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return dict(zip((record["id"] for record in records), evidence.answers(records), strict=True))


def _columns(given: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    made = evidence.summarise(given)
    names = {"accuracy": "accuracy", "routing": "routing", "all bases right": "routed", "calls": "calls"}
    names |= {"final answers": "ended", "tokens said": "tokens"}
    return {shown: float(made[name]) for shown, name in names.items() if made[name] is not None}


_VALUES = {"accuracy": lambda answer: float(answer["right"]), "routing": lambda answer: evidence.routing(answer) or 0.0}


def _judged(claim: PairedClaim, given: Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]) -> Finding:
    value = _VALUES[claim.measure]
    sides = [
        [{name: value(one) for name, one in own.items()} for own in given[row]] for row in (claim.better, claim.worse)
    ]
    return judge(claim, sides[0], sides[1], SEEDS_ASKED)


def _by_hops(given: Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]) -> str:
    """Apart by the length of the solution, all seeds together."""
    lines = ["| arm | steps | answers | accuracy | routing |", "|---|---|---|---|---|"]
    for row, seeds in given.items():
        every = [answer for own in seeds for answer in own.values()]
        for hops in sorted({answer["hops"] for answer in every}):
            made = evidence.summarise([answer for answer in every if answer["hops"] == hops])
            right, routed = 100 * (made["accuracy"] or 0.0), 100 * (made["routing"] or 0.0)
            lines.append(f"| {row} | {hops} | {made['questions']} | {right:.1f} | {routed:.1f} |")
    return "\n".join(lines) + "\n"


def curve(home: RunFolder) -> list[dict[str, float]]:
    """One entry a training step: tokens that the policy wrote so far, share of right bases among its plans, mean spread
    of plan rewards within groups (0 where the method does not say)."""
    lines = [json.loads(line) for line in home.metrics.read_text(encoding="utf-8").splitlines()]
    logged = {line["step"]: line for line in lines if line.get("stage") == "grpo"}
    out, tokens = [], 0
    for path in sorted(home.rollouts.glob("step_*.parquet")):
        rows = pq.read_table(path, columns=["step", "segments", "parts"]).to_pylist()
        tokens += sum(
            piece["end"] - piece["start"] for row in rows for piece in row["segments"] if piece["kind"] == "model"
        )
        parts = [json.loads(row["parts"]) for row in rows]
        routed = [part["routed"] for part in parts if part.get("plan", 1.0)]
        spread = logged.get(rows[0]["step"], {}).get("method/step_grpo/plan_spread", 0.0)
        share = sum(routed) / len(routed) if routed else 0.0
        out.append({"tokens": float(tokens), "routing": share, "plan_spread": float(spread)})
    return out


def _learning(curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> str:
    """How soon routing was learnt in training, and what spread was left in the groups of plans."""
    lines = [
        f"| arm | updates until {100 * LEARNT:.0f} % of bases right, by seed | tokens written until then | "
        "spread of plan rewards, first and last step |",
        "|---|---|---|---|",
    ]
    for arm, seeds in curves.items():
        reached = [
            next((place for place, point in enumerate(own) if point["routing"] >= LEARNT), None) for own in seeds
        ]
        updates = ", ".join("never" if place is None else str(place) for place in reached)
        tokens = ", ".join(
            "" if place is None else f"{own[place]['tokens']:.0f}" for own, place in zip(seeds, reached, strict=True)
        )
        spread = ", ".join(f"{own[0]['plan_spread']:.2f} to {own[-1]['plan_spread']:.2f}" for own in seeds if own)
        lines.append(f"| {arm} | {updates} | {tokens} | {spread} |")
    return "\n".join(lines) + "\n"
