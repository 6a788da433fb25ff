"""What EARL's arms are compared by: accuracy, purity, what it cost, and the verdicts of the claims."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.project import load_module
from mmreason.run.folder import RunFolder
from mmreason.suites.seeded import Finding, PairedClaim, arms_table, findings_table, judge

evidence = load_module(Path(__file__).parent / "measures.py")

SUITE = "earl_events"
SEEDS_ASKED = 5
"""Seeds before anything is decided [reconstructed: as many as the small-scale check of the method was planned with]."""
CLAIMS = (
    PairedClaim("RL adds to the cold start", "accuracy", "earl", "sft"),
    PairedClaim(
        "better than uniform frames at equal visual tokens, same model", "accuracy", "earl", "earl, more_frames"
    ),
    PairedClaim(
        "better than uniform frames at equal visual tokens, model trained for it", "accuracy", "earl", "uniform"
    ),
    PairedClaim("the purity reward raises IoU over outcome alone", "iou", "earl", "outcome", 0.1),
    PairedClaim("and costs no accuracy", "accuracy", "earl", "outcome", -0.02),
    PairedClaim("the purity reward raises IoU over the action reward", "iou", "earl", "action", 0.1),
    PairedClaim("the IoU term raises IoU", "iou", "earl", "no_relevance"),
    PairedClaim("the gate on right answers raises IoU", "iou", "earl", "no_gate"),
    PairedClaim("the schedule beats fixed weights", "accuracy", "earl", "fixed"),
    PairedClaim("true gold beats moved gold", "accuracy", "earl", "shuffled"),
    PairedClaim("moved gold is no better than outcome alone", "accuracy", "outcome", "shuffled", -0.02),
    PairedClaim("re-sampling itself helps, same model", "accuracy", "earl", "earl, same_frames"),
    PairedClaim("re-sampling itself helps, model trained without it", "accuracy", "earl", "no_resampling"),
    PairedClaim("which frames are selected matters", "accuracy", "earl", "earl, random"),
    PairedClaim("the gold frames are the better choice", "accuracy", "earl, oracle", "earl"),
    PairedClaim("the tool helps the model that was trained with it", "accuracy", "earl", "earl, no_tool"),
)
PLAIN = ("frames", "visual tokens", "calls", "frames a call", "tokens said")


def compare(
    homes: Mapping[str, Sequence[RunFolder]], stages: Mapping[str, tuple[str, str]], notes: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says). `stages`: row -> (arm, folder of its evaluation)."""
    given = {row: [answers(home, stage) for home in homes[arm]] for row, (arm, stage) in stages.items()}
    scores = {row: [measure(list(own.values())) for own in seeds] for row, seeds in given.items()}
    findings = [_judged(claim, given) for claim in CLAIMS if {claim.better, claim.worse} <= set(given)]
    told = {row: notes[row.rpartition(", ")[2]] for row in given}
    text = arms_table(scores, told, PLAIN) + "\n" + findings_table(findings, SEEDS_ASKED) + "\n" + by_gold(given)
    return {"scores": scores, "claims": [found.to_dict() for found in findings]}, text


def answers(home: RunFolder, stage: str) -> dict[str, dict[str, Any]]:
    """Question -> its answer as `measures.answers` gives it. Moved gold is judged by the true one."""
    true = home.eval / f"{stage}_true_gold"
    path = (true if true.is_dir() else home.eval / stage) / f"{SUITE}.samples.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return dict(zip((record["id"] for record in records), evidence.answers(records), strict=True))


def measure(given: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Columns of the table; what is not known is left out."""
    made = evidence.summarise(given)
    columns = {
        "accuracy": made["accuracy"],
        "iou": made["iou"],
        "iou where selected": made["iou_selected"],
        "selected": made["selection_rate"],
        "calls": made["rounds"],
        "frames a call": made["selected"],
        "frames": made["frames"],
        "visual tokens": made["visual_tokens"],
        "tokens said": made["tokens"],
    }
    return {name: float(value) for name, value in columns.items() if value is not None}


def _judged(claim: PairedClaim, given: Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]) -> Finding:
    value = _VALUES[claim.measure]
    sides = [
        [{name: value(one) for name, one in own.items()} for own in given[row]] for row in (claim.better, claim.worse)
    ]
    return judge(claim, sides[0], sides[1], SEEDS_ASKED)


def by_gold(given: Mapping[str, Sequence[Mapping[str, Mapping[str, Any]]]]) -> str:
    """Purity apart by the number of gold frames, all seeds together."""
    lines = ["| arm | gold frames | answers | IoU | accuracy |", "|---|---|---|---|---|"]
    for row, seeds in given.items():
        every = [answer for own in seeds for answer in own.values()]
        for number, made in evidence.by(every, "gold").items():
            iou, right = made["iou"] or 0.0, made["accuracy"] or 0.0
            lines.append(f"| {row} | {number} | {made['questions']} | {100 * iou:.1f} | {100 * right:.1f} |")
    return "\n".join(lines) + "\n"


_VALUES = {"accuracy": lambda answer: float(answer["right"]), "iou": lambda answer: evidence.iou(answer) or 0.0}
