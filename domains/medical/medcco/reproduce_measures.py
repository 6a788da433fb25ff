"""What MedCCO's arms are compared by: closed and open answers, in and out of domain, evenness of the two rewards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from mmreason.project import load_module
from mmreason.run.files import write_json
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.seeded import Finding, PairedClaim, arms_table, findings_table, judge

shown = load_module(Path(__file__).parent / "measures.py")

SEEDS_ASKED = 10
"""Seeds before anything is decided: what the small-scale check of the method was planned with."""
IN, OUT = ("scans_closed", "scans_open"), "scans_ood"
SPIKE = "largest / median gradient"
CLAIMS = (
    PairedClaim("closed, then open beats both at once, on open questions", "open", "closed_open", "joint"),
    PairedClaim("and on closed ones", "closed", "closed_open", "joint"),
    PairedClaim("and on unseen pairs", "ood", "closed_open", "joint"),
    PairedClaim("the same with advantages divided by the deviation", "open", "closed_open_std", "joint_std"),
    PairedClaim("it beats both at once re-weighted by kind", "open", "closed_open", "weighted"),
    PairedClaim("re-weighting mends the joint arm", "all", "weighted", "joint"),
    PairedClaim("it beats the reverse order", "open", "closed_open", "open_closed"),
    PairedClaim("the reverse order is worse than both at once", "all", "joint", "open_closed"),
    PairedClaim("it beats closed questions alone", "all", "closed_open", "closed_only"),
    PairedClaim("and on unseen pairs", "ood", "closed_open", "closed_only"),
    PairedClaim("it beats open questions alone", "all", "closed_open", "open_only"),
    PairedClaim("it adds to the cold start", "all", "closed_open", "cold"),
    PairedClaim("and more than as much imitation does", "all", "closed_open", "sft"),
    PairedClaim("the graded reward beats exact match on answers that mean the same", "open", "closed_open", "exact"),
    PairedClaim("but leaves more answers on the wrong side", "right side", "exact", "closed_open"),
    PairedClaim("words weigh more than meaning (lambda 0.7 against 0.3)", "open", "closed_open", "lambda3"),
    PairedClaim("a tenth of closed questions keeps what the first half taught", "closed", "replay", "closed_open"),
)
Values = dict[str, dict[str, float]]
"""Measure of a claim -> question -> value."""


def compare(
    homes: Mapping[str, Sequence[RunFolder]],
    halves: Mapping[str, Sequence[RunFolder]],
    notes: Mapping[str, str],
    own: Any,
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says). `halves`: run folders of the arms' first halves."""
    given = {arm: [suites_of(home, own) for home in seeds] for arm, seeds in homes.items()}
    scores = {
        arm: [columns(made, steps_of(halves.get(arm, []), homes[arm], seed)) for seed, made in enumerate(seeds)]
        for arm, seeds in given.items()
    }
    values = {arm: [by_question(made) for made in seeds] for arm, seeds in given.items()}
    findings = [_judged(claim, values) for claim in CLAIMS if {claim.better, claim.worse} <= set(homes)]
    text = arms_table(scores, notes, (SPIKE, *PLAIN)) + "\n" + findings_table(findings, SEEDS_ASKED)
    return {"scores": scores, "claims": [found.to_dict() for found in findings]}, text


def suites_of(home: RunFolder, own: Any) -> dict[str, list[dict[str, Any]]]:
    """Suite -> its answers, of the one stage that was evaluated. Kept in answers.json: the process that evaluated has
    compared every answer with its reference already, any other would have to do it again."""
    kept = home.path / "answers.json"
    if not kept.is_file():
        stage = "grpo" if (home.eval / "grpo").is_dir() else "sft"
        paths = {suite: home.eval / stage / f"{suite}.samples.jsonl" for suite in (*IN, OUT)}
        write_json(kept, {suite: shown.answers(shown.read_records(path), own) for suite, path in paths.items()})
    made: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text(encoding="utf-8"))
    return made


def by_question(made: Mapping[str, Sequence[Mapping[str, Any]]]) -> Values:
    """The measures that claims name, question by question; one answer a question."""
    inside = [one for suite in IN for one in made[suite]]
    return {
        "closed": {one["id"]: one["right"] for one in inside if "closed" in one},
        "open": {one["id"]: one["right"] for one in inside if "open" in one},
        "right side": {one["id"]: 1.0 - one["side"] for one in inside if "side" in one},
        "ood": {one["id"]: one["right"] for one in made[OUT]},
        "all": {f"{suite} {one['id']}": one["right"] for suite, own in made.items() for one in own},
    }


def columns(made: Mapping[str, Sequence[Mapping[str, Any]]], steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Columns of the table."""
    inside = shown.summarise([one for suite in IN for one in made[suite]])
    outside = shown.summarise(made[OUT])
    every = fmean(one["right"] for own in made.values() for one in own)
    values = {name: inside[name] for name in ("closed", "open", "exact", "s", "side") if name in inside}
    values |= {f"{name}, unseen": outside[name] for name in ("closed", "open") if name in outside} | {"all": every}
    return values | (_evenness(steps) if steps else {})


COUNTED = ("sd", "flat", "length")
PLAIN = tuple(f"{kind} {what}" for kind in ("closed", "open") for what in ("sd", "length"))


def _evenness(steps: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the steps: the closed share of the advantages; by kind the spread inside groups, flat groups, length.
    And how far the gradient's norm leaps."""
    norms = [float(step["grad_norm"]) for step in steps]
    found = {SPIKE: max(norms) / max(median(norms), 1e-12)}
    found |= {"pull of closed": fmean(float(step["method/per_kind/closed_pull"]) for step in steps)}
    for kind in ("closed", "open"):
        for what in COUNTED:
            key = f"method/per_kind/{kind}_{what}"
            known = [float(step[key]) for step in steps if key in step]
            found |= {f"{kind} {what}": fmean(known)} if known else {}
    return found


def steps_of(halves: Sequence[RunFolder], homes: Sequence[RunFolder], seed: int) -> list[dict[str, Any]]:
    """Metrics of both halves of an arm; none of an arm without RL."""
    folders = [halves[seed], homes[seed]] if halves else []
    return [row for home in folders for row in read_metrics(home.metrics) if row["stage"] == "grpo"]


def _judged(claim: PairedClaim, values: Mapping[str, Sequence[Values]]) -> Finding:
    better, worse = ([seed[claim.measure] for seed in values[arm]] for arm in (claim.better, claim.worse))
    return judge(claim, better, worse, SEEDS_ASKED)
