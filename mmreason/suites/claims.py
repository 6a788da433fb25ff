"""Claims about arms, measured over seeds: mean, spread, and a verdict by a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

MIN_SEEDS = 3
"""Seeds that the sheets ask for; with fewer nothing is decided."""


class Ruling(StrEnum):
    """What the seeds say of a claim."""

    HOLDS = "holds"
    """The difference has the claimed sign in every seed."""
    FAILS = "fails"
    """It has the other sign, or is zero, in every seed."""
    NOT_DECIDED = "not decided"
    """The seeds disagree, or are fewer than `MIN_SEEDS`."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`better` is above `worse` on `metric`; `text` is the sentence of the paper or sheet."""

    text: str
    metric: str
    better: str
    worse: str


Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""arm -> metric -> one value a seed, seeds in the same order everywhere."""


def differences(claim: Claim, scores: Scores) -> list[float]:
    """Paired by seed."""
    return [
        up - down
        for up, down in zip(scores[claim.better][claim.metric], scores[claim.worse][claim.metric], strict=True)
    ]


def ruling(values: Sequence[float]) -> Ruling:
    """The rule of `Ruling`; ours (reconstructed), since the sheet names seeds but no test."""
    if len(values) < MIN_SEEDS:
        return Ruling.NOT_DECIDED
    if all(value > 0 for value in values):
        return Ruling.HOLDS
    return Ruling.FAILS if all(value <= 0 for value in values) else Ruling.NOT_DECIDED


def spread(values: Sequence[float]) -> str:
    """Mean and sample deviation over seeds, in percent."""
    deviation = f" +- {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{deviation}"


def markdown(scores: Scores, claims: Sequence[Claim], notes: Mapping[str, str]) -> str:
    """Two tables: arms by metric, claims with differences and verdicts."""
    metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
    lines = ["| arm | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for arm, row in scores.items():
        cells = [spread(row[metric]) if row.get(metric) else "" for metric in metrics]
        lines.append(f"| {arm}: {notes[arm]} | " + " | ".join(cells) + " |")
    lines += ["", "| claim | difference by seed | verdict |", "|---|---|---|"]
    for claim in claims:
        values = differences(claim, scores)
        shown = ", ".join(f"{100 * value:+.1f}" for value in values)
        lines.append(f"| {claim.text} ({claim.better} - {claim.worse}, {claim.metric}) | {shown} | {ruling(values)} |")
    return "\n".join(lines) + "\n"
