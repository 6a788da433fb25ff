"""What the arms are compared by: scores, differences with intervals, verdicts of the claims."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.project import load_module
from mmreason.rewards.extract import after_thinking
from mmreason.rewards.times import temporal_iou
from mmreason.run.folder import RunFolder
from mmreason.run.metrics import read_metrics
from mmreason.suites.reference.spans import said_windows
from mmreason.suites.seeded import PairedClaim, arms_table, findings_table, judge

settings = load_module(Path(__file__).parent / "settings.py")
world = load_module(Path(__file__).parents[1] / "scenes_world.py")

SEEDS_ASKED = 5
"""Seeds before anything is decided [reconstructed]."""
NEAR = 0.95
"""Share of the last reward that counts as learnt."""
WINDOW = 3
"""Steps whose mean reward is one point of the curve."""
STEPS = "steps to 95 %"
CLAIMS = (
    PairedClaim("a reward for what and when: GRPO lifts moments", "when", "dual", "warm"),
    PairedClaim("a reward for what and when: GRPO lifts answers", "what", "dual", "warm"),
    PairedClaim("a reward for what and when: GRPO lifts both together", "grounded", "dual", "warm"),
    PairedClaim("both kinds of credit help grounded answers more than moments alone", "grounded", "dual", "iou"),
    PairedClaim("ungated credit is at least as good as gated", "grounded", "dual", "gated"),
    PairedClaim("continuous tIoU beats a threshold of 0.5", "when", "iou", "threshold5"),
    PairedClaim("a threshold of 0.5 beats one of 0.7", "when", "threshold5", "threshold7"),
    PairedClaim("RL generalises better than SFT on moments", "long", "iou", "sft"),
    PairedClaim("RL on moments keeps answers that SFT on moments forgets", "what", "iou", "sft"),
    PairedClaim("selection by spread: 10 % beat any 10 %", "all", "sigma", "random"),
    PairedClaim("selection by spread: 10 % are as good as the whole pool", "all", "sigma", "full"),
    PairedClaim("the least spread teaches less than any 10 %", "all", "random", "lowest"),
    PairedClaim("unsolved questions teach less than any 10 %", "all", "random", "unsolved"),
    PairedClaim("RITA's quotas beat any 10 %", "all", "rita", "random"),
)
SUITES = ("when", "long", "what", "grounded")
Credits = dict[str, dict[str, float]]
"""Suite -> question -> what its answers earned without the format; "all" holds the in-domain suites together."""


def compare(
    homes: Mapping[str, Sequence[RunFolder]], stages: Mapping[str, str], notes: Mapping[str, str]
) -> tuple[dict[str, Any], str]:
    """(what reproduce.json holds, what reproduce.md says); the seeds of every arm in the same order."""
    scores = {arm: [measure(home, stages[arm]) for home in seeds] for arm, seeds in homes.items()}
    credit = {arm: [credits(home, stages[arm]) for home in seeds] for arm, seeds in homes.items()}
    findings = [
        judge(
            claim,
            [seed[claim.measure] for seed in credit[claim.better]],
            [seed[claim.measure] for seed in credit[claim.worse]],
            SEEDS_ASKED,
        )
        for claim in CLAIMS
        if {claim.better, claim.worse} <= set(homes)
    ]
    text = arms_table(scores, notes, (STEPS,)) + "\n" + findings_table(findings, SEEDS_ASKED)
    return {"scores": scores, "claims": [found.to_dict() for found in findings]}, text


def records(home: RunFolder, stage: str, suite: str) -> list[dict[str, Any]]:
    """One suite's scored questions."""
    path = home.eval / stage / f"temporal_{suite}.samples.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def credits(home: RunFolder, stage: str) -> Credits:
    """Of one arm and seed."""
    made = {suite: {row["id"]: credit_of(row, suite) for row in records(home, stage, suite)} for suite in SUITES}
    made["all"] = {
        f"{suite} {name}": value for suite in SUITES if suite != "long" for name, value in made[suite].items()
    }
    return made


def credit_of(row: Mapping[str, Any], suite: str) -> float:
    """Mean over the answers; of a grounded one half for the answer and half for the window."""
    if suite != "grounded":
        return float(row["credit"])
    return fmean((run["credit"] + window_iou(run["output"], row)) / 2 for run in row["runs"])


def window_iou(output: str, row: Mapping[str, Any]) -> float:
    """Overlap of the window in an output with that of the event that is asked about."""
    facts = row["doc"]["metadata"]
    event = next(one for one in facts["events"] if one["colour"] == facts["colour"])
    gold = (event["first"] / facts["fps"], (event["first"] + event["length"] - 1) / facts["fps"])
    return temporal_iou(said_windows(output) or [], [gold])


def measure(home: RunFolder, stage: str) -> dict[str, float]:
    """Columns of the table, shares in [0, 1]."""
    rows = {suite: records(home, stage, suite) for suite in SUITES}
    ious = [run["credit"] for row in rows["when"] for run in row["runs"]]
    values = {
        "mIoU": fmean(ious),
        "R@.5": fmean(iou >= 0.5 for iou in ious),
        "R@.7": fmean(iou >= 0.7 for iou in ious),
        "mIoU, long": _credit(rows["long"]),
        "answers": _credit(rows["what"]),
        "valid answers": fmean(_is_shape(run["output"]) for row in rows["what"] for run in row["runs"]),
        "both": fmean(credit_of(row, "grounded") for row in rows["grounded"]),
        "both, right answer": fmean(row["acc"] for row in rows["grounded"]),
    }
    steps = [row for row in read_metrics(home.metrics) if row["stage"] == "grpo"]
    if stage == "grpo":
        values["dead groups"] = fmean(row["zero_advantage_groups"] for row in steps)
        values[STEPS] = float(steps_to_last([row["reward"] for row in steps]))
    kept = home.data / "rl_variance.parquet"
    if kept.is_file():
        values["wrong windows kept"] = _spoilt_share(home)
    return values


def _credit(rows: Sequence[Mapping[str, Any]]) -> float:
    return fmean(row["credit"] for row in rows)


def _is_shape(output: str) -> bool:
    """Whether the answer block holds the name of a shape, right or wrong."""
    block = (after_thinking(output) or "").partition("<answer>")[2].partition("</answer>")[0]
    return block.strip() in world.SHAPES


def _spoilt_share(home: RunFolder) -> float:
    from mmreason.records.io import read_samples

    kept = Counter(bool(sample.metadata.get("spoilt")) for sample in read_samples(home.data / "rl_variance.parquet"))
    return kept[True] / max(kept.total(), 1)


def steps_to_last(rewards: Sequence[float]) -> int:
    """First step from which the smoothed reward has come `NEAR` of the way from the first to the last."""
    means = [fmean(rewards[max(0, at - WINDOW + 1) : at + 1]) for at in range(len(rewards))]
    goal = means[0] + NEAR * (means[-1] - means[0])
    reached = (at for at, value in enumerate(means, start=1) if (value - goal) * (means[-1] - means[0]) >= 0)
    return next(reached, len(rewards))
