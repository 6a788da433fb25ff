"""ImageReward's pair accuracy of scores for pictures; both orders of a pair, and how often they agree, are ours.

Predictions file: `rewards` is the repository's test_<model>.json, [{"id", "rewards": [score, ...]}, ...], one score a
picture in the order of "generations"; equal scores prefer neither.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import collect
from mmreason.suites.reference.forms import field, grouped, mean, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "zai-org/ImageReward test.py@c1392c6 (pairs of unequal human rank; equal scores are wrong)"
AS_RELEASED = "as released"


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return output.strip() == sample.answer.gold


def orders(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over both orders, each order, and the share of pairs whose two answers prefer the same picture.

    With two pictures the answers agree when both are right or both wrong; a pair without an answer does not agree.
    """
    both = [pair for pair in grouped(scored, "pair").values() if len(pair) == 2]
    agree = sum(one.output is not None and other.output is not None and one.value == other.value for one, other in both)
    by_order = {values[0]: mean(part) for values, part in grouped(scored, "order").items()}
    return {"acc": mean(scored), **by_order, "order_consistency": agree / len(both) if both else 0.0}


def _released(scored: Sequence[Scored]) -> dict[str, float]:
    return {"acc": mean(one for one in scored if one.sample.metadata["order"] == AS_RELEASED), **orders(scored)}


official = Reference(ORIGIN, _score, _released, applies=lambda output: output.strip() in ("", "A", "B"))


def rewards(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Scores of pictures as the letters A and B, in both orders; "" for equal scores."""
    known = {sample.source.row: sample.id for sample in samples}
    pairs = []
    for where, row in objects(path):
        scores = field(where, row, "rewards")
        if not isinstance(scores, list) or not all(isinstance(score, int | float) for score in scores):
            raise UserError(f"{where}: 'rewards' is {scores!r:.80}, expected a list of numbers")
        for first, second in combinations(range(len(scores)), 2):
            name = f"{field(where, row, 'id')}-{first}-{second}"
            if name not in known:
                continue  # equal human ranks: no pair
            letter = "" if scores[first] == scores[second] else "AB"[scores[first] < scores[second]]
            pairs.append((where, known[name], [letter]))
            pairs.append((where, known[f"{name}-swapped"], [letter.translate({65: 66, 66: 65})]))
    return collect(pairs)
