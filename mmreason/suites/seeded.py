"""Claims about arms whose questions are the same: paired differences over all seeds, with intervals and verdicts.

`mmreason.suites.claims` decides by the signs of a few seeds; here every question of every seed counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from mmreason.suites.intervals import Interval, cluster_bootstrap

Values = Mapping[str, float]
"""Question -> value, of one arm and seed on one measure."""


@dataclass(frozen=True, slots=True)
class PairedClaim:
    """`better` is above `worse` on `measure`, question by question, by more than `margin`."""

    text: str
    measure: str
    better: str
    worse: str
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the seeds say of a claim."""

    claim: PairedClaim
    gain: Interval
    by_seed: tuple[float, ...]
    verdict: str
    """holds: the interval lies above the margin; fails: it lies below; else, or with too few seeds, not decided."""

    @property
    def sign(self) -> str:
        """Where the interval lies, however many seeds there are."""
        if self.gain.low > self.claim.margin:
            return "as claimed"
        return "against" if self.gain.high < self.claim.margin else "open"

    def to_dict(self) -> dict[str, Any]:
        claim = self.claim
        return {
            "claim": claim.text,
            "measure": claim.measure,
            "better": claim.better,
            "worse": claim.worse,
            "margin": claim.margin,
            "difference": self.gain._asdict(),
            "by_seed": list(self.by_seed),
            "sign": self.sign,
            "verdict": self.verdict,
        }


def judge(claim: PairedClaim, better: Sequence[Values], worse: Sequence[Values], seeds_asked: int) -> Finding:
    """The difference over the questions of all seeds, paired, with a bootstrap interval that resamples questions."""
    gains: list[float] = []
    names: list[str] = []
    by_seed = []
    for up, down in zip(better, worse, strict=True):
        own = [up[name] - down[name] for name in up]
        gains += own
        names += list(up)
        by_seed.append(fmean(own))
    interval = cluster_bootstrap(gains, names)
    found = Finding(claim, interval, tuple(by_seed), "not decided")
    if len(by_seed) < seeds_asked:
        return found
    verdict = {"as claimed": "holds", "against": "fails"}.get(found.sign, "not decided")
    return Finding(claim, interval, tuple(by_seed), verdict)


def arms_table(scores: Mapping[str, Sequence[Values]], notes: Mapping[str, str], plain: Sequence[str] = ()) -> str:
    """Arms by measure: mean and deviation over seeds, in percent but for the measures named in `plain`."""
    columns = list(dict.fromkeys(name for seeds in scores.values() for seed in seeds for name in seed))
    lines = ["| arm | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for arm, seeds in scores.items():
        cells = [
            _cell([seed[name] for seed in seeds if name in seed], 1.0 if name in plain else 100.0) for name in columns
        ]
        lines.append(f"| {arm}: {notes[arm]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float], scale: float) -> str:
    if not values:
        return ""
    return f"{scale * fmean(values):.1f}" + (f" +- {scale * stdev(values):.1f}" if len(values) > 1 else "")


def findings_table(findings: Sequence[Finding], seeds_asked: int) -> str:
    """Claims with their differences in points."""
    lines = ["| claim | difference, 95 % interval | by seed | sign | verdict |", "|---|---|---|---|---|"]
    for found in findings:
        claim, gain = found.claim, found.gain
        shown = f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
        seeds = ", ".join(f"{100 * value:+.1f}" for value in found.by_seed)
        more = f", by more than {100 * claim.margin:g}" if claim.margin else ""
        where = f"{claim.better} - {claim.worse}, {claim.measure}{more}"
        lines.append(f"| {claim.text} ({where}) | {shown} | {seeds} | {found.sign} | {found.verdict} |")
    return "\n".join(lines) + f"\n\n{seeds_asked} seeds are asked for; with fewer nothing is decided.\n"
