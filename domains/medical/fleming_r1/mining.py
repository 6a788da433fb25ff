"""Between the two stages of RL: the pool of stage 1, when it has given what it can, and the re-draw for stage 2.

Stage 1 is a balanced blend of easy and moderate items until rewards plateau; stage 2 draws one solved item for every
two failed ones by the newest model's own answers, with k doubled, and is mined again (arXiv 2509.15279, 3.3, figure 2).
`pool` is a rule for `data.selection.rule`: the named ones drop what no answer solves and draw by the spread of the
answers, while here just those items are wanted, at a ratio that holds exactly. `InUnits` keeps it in every step.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.data.selection import Drawn, Trial, weighted
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Sample

_HERE = Path(__file__).parent
settings = load_module(_HERE / "settings.py")
tiers = load_module(_HERE / "tiers.py")
MiningSettings, PlateauSettings, Tier = settings.MiningSettings, settings.PlateauSettings, tiers.Tier
Blend = settings.Blend


class Side(StrEnum):
    """Where a mining puts an item."""

    WRONG = "wrong"
    MIDDLE = "middle"
    """Neither failed nor solved: drawn with the failed, at its natural weight."""
    RIGHT = "right"
    PARKED = "parked"
    """Never solved in several minings, and flagged by the label audit."""


@dataclass(slots=True)
class Mined:
    """The outcome of one mining."""

    kept: list[str]
    """Ids without repetition. Every run of right + wrong of them from the beginning holds the exact ratio."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Id, tier, pass rate, side and whether it was drawn, of every item."""
    unsolved: dict[str, int] = field(default_factory=dict)
    """Id -> minings in a row without a right answer: what the next mining is told."""

    def counts(self) -> dict[str, int]:
        """Side -> items, and with "_kept" those drawn."""
        sides = Counter(row["side"] for row in self.rows)
        return dict(sides + Counter(f"{row['side']}_kept" for row in self.rows if row["kept"]))


def mine(
    samples: Sequence[Sample],
    trials: Mapping[str, Sequence[Trial]],
    rule: MiningSettings,
    seed: int,
    unsolved: Mapping[str, int] | None = None,
) -> Mined:
    """Re-draw the pool from the newest model's answers. `unsolved` is the mining before's.

    Raises UserError where a side that the ratio asks for is too small for a single unit of it.
    """
    rates = {sample.id: fmean(trial.right for trial in trials[sample.id]) for sample in samples}
    runs = {name: (unsolved or {}).get(name, 0) + 1 for name, rate in rates.items() if rate == 0}
    sides = {sample.id: _side(sample, rates[sample.id], runs.get(sample.id, 0), rule) for sample in samples}
    solved = [sample.id for sample in samples if sides[sample.id] is Side.RIGHT]
    failed = [sample for sample in samples if sides[sample.id] in (Side.WRONG, Side.MIDDLE)]
    units = _units(len(solved), len(failed), rule)
    rng = random.Random(f"mining:{seed}")
    drawn_right = weighted(solved, [1.0] * len(solved), units * rule.right, rng)
    weights = [_weight(sample, sides[sample.id], rule) for sample in failed]
    drawn_wrong = weighted([sample.id for sample in failed], weights, units * rule.wrong, rng)
    kept = _in_units(drawn_right, drawn_wrong, units, rule, rng)
    taken = set(kept)
    rows = [
        {
            "id": sample.id,
            "tier": sample.metadata.get("tier", ""),
            "pass_rate": rates[sample.id],
            "side": sides[sample.id].value,
            "kept": sample.id in taken,
        }
        for sample in samples
    ]
    return Mined(kept, rows, runs)


def _side(sample: Sample, rate: float, run: int, rule: MiningSettings) -> Side:
    if run >= rule.park and sample.metadata.get("label_audit", {}).get("flagged"):
        return Side.PARKED
    if rate <= rule.wrong_most:
        return Side.WRONG
    return Side.RIGHT if rate >= rule.right_least else Side.MIDDLE


def _weight(sample: Sample, side: Side, rule: MiningSettings) -> float:
    difficult = sample.metadata.get("tier") == Tier.DIFFICULT.value
    return rule.difficult_weight if side is Side.WRONG and difficult else 1.0


def _units(solved: int, failed: int, rule: MiningSettings) -> int:
    """How many whole units of right + wrong both sides hold."""
    rooms = [size // share for size, share in ((solved, rule.right), (failed, rule.wrong)) if share]
    units = min(rooms) if rule.keep is None else min(*rooms, rule.keep // (rule.right + rule.wrong))
    if not units:
        raise UserError(
            f"mining at right : wrong = {rule.right} : {rule.wrong} found {solved} solved and {failed} other items; "
            "sample more of the pool, or set options.fleming_r1.mining.right=0"
        )
    return units


def _in_units(
    right: Sequence[str], wrong: Sequence[str], units: int, rule: MiningSettings, rng: random.Random
) -> list[str]:
    order: list[str] = []
    for unit in range(units):
        own = [*right[unit * rule.right : (unit + 1) * rule.right], *wrong[unit * rule.wrong : (unit + 1) * rule.wrong]]
        rng.shuffle(own)
        order += own
    return order


def pool(
    samples: Sequence[Sample],
    trials: Mapping[str, Sequence[Trial]],
    *,
    options: Mapping[str, Any],
    seed: int,
    before: Mapping[str, Any],
) -> Drawn:
    """Rule of `data.selection`: the mined samples in the order drawn, with their pass rate.

    `before`: facts of the pool that the model was trained on; where that was mined too, its count of minings without a
    right answer goes on.
    """
    mined = mine(samples, trials, settings.settings_of(options).mining, seed, before.get("unsolved"))
    rates = {row["id"]: row["pass_rate"] for row in mined.rows}
    by_id = {sample.id: sample for sample in samples}
    kept = [
        replace(by_id[name], difficulty=1 - rates[name]).with_meta(source="mining", mined_rate=rates[name])
        for name in mined.kept
    ]
    return Drawn(kept, mined.rows, {"counts": mined.counts(), "unsolved": mined.unsolved})


def blend(
    samples: Sequence[Sample], part_of: Callable[[Sample], str], shares: Mapping[str, int], seed: int
) -> list[Sample]:
    """As many samples as the parts hold at exactly these whole-number shares, each drawn evenly, mixed.

    Stage 1 blends tiers, {"easy": 1, "moderate": 1}; synthetic and public rows are blended 1 : 1 [reconstructed].
    Raises UserError for a part that has too few.
    """
    parts: dict[str, list[Sample]] = {name: [] for name, share in shares.items() if share}
    for sample in samples:
        parts.get(part_of(sample), []).append(sample)
    units = min((len(own) // shares[name] for name, own in parts.items()), default=0)
    if not units:
        raise UserError(f"a blend of {dict(shares)} finds { ({name: len(own) for name, own in parts.items()}) }")
    rng = random.Random(f"blend:{seed}")
    chosen = [sample for name, own in parts.items() for sample in rng.sample(own, units * shares[name])]
    rng.shuffle(chosen)
    return chosen


STAGE_ONE = {
    Blend.TEXT: {Tier.EASY.value: 1, Tier.MODERATE.value: 1},
    Blend.FIGURE: {Tier.DIFFICULT.value: 1, Tier.EASY.value: 1},
}
"""Text: easy and moderate, balanced; figure 2: hard : simple = 1 : 1. They disagree; the text is the default."""


def blended(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: the blend of tiers that `options.fleming_r1.blend` names; all of a set where that is `all`.

    Samples without a tier stay: nobody said how hard they are.
    """
    wanted = settings.settings_of(context.recipe.options).blend
    tiered: list[Sample] = []
    for item in stream:
        if wanted is Blend.ALL or isinstance(item, Drop) or "tier" not in item.metadata:
            yield item
        else:
            tiered.append(item)
    if not tiered:
        return
    drawn = blend(tiered, lambda sample: str(sample.metadata["tier"]), STAGE_ONE[wanted], context.recipe.seeds.data)
    kept = {sample.id for sample in drawn}
    for sample in tiered:
        tier = str(sample.metadata["tier"])
        yield sample if sample.id in kept else Drop(sample.id, "blended", f"beyond_{wanted}", tier, sample.to_dict())


def plateau(informative: Sequence[float], rewards: Sequence[float], rule: PlateauSettings) -> str:
    """Why stage 1 may end after these steps; empty while it goes on.

    `informative`: share of groups neither all right nor all wrong, `rewards`: mean reward, one value a step. Growth is
    that of the mean over `informative_steps` against the same mean `growth_steps` earlier.
    """
    window, span = rule.informative_steps, rule.growth_steps
    if len(informative) >= window and fmean(informative[-window:]) < rule.informative_least:
        return "sparse"
    if len(rewards) < window + span:
        return ""
    now, before = fmean(rewards[-window:]), fmean(rewards[-window - span : -span])
    return "no_growth" if now - before < rule.growth_least * before else ""
