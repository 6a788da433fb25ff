"""EMPO: an answer is rewarded by how many of its group agree with it; no reference answer is needed.

    r = |cluster of the answer| / G         keep groups with low < H / ln G < high,  H = - sum p ln p over clusters

Final answers fall into one cluster where the grader of the sample's kind calls one right with the other as gold, in
either direction; each is compared with the first of every cluster. What the grader cannot read, and several answers
joined by "or", is a cluster of its own with a share of 1/G. Free text agrees only where it is equal after
normalisation: the authors use a verifier or an entailment model.

A group in full agreement (H = 0) or without any (H = ln G) has no spread of rewards; the band drops it. A group of one
row counts as full agreement.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import model_validator

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait
from mmreason.records import Sample
from mmreason.rewards.grade import GRADERS, grade_read, read


class EMPO(Method):
    """RewardTerm in place of the reward, and GroupPolicy. Counters: kept and dropped groups, mean of H / ln G."""

    source = "EMPO, arXiv 2504.05812"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.UNLABELLED, Trait.ENTROPY_DOWN})
    combine = "replace"

    class Settings(Strict):
        """The band of semantic entropy, as shares of its largest value ln G; groups of 7 and more."""

        low: float = 0.1
        """[reconstructed: a middle band is published, its edges are not] drops a group of 8 in agreement."""
        high: float = 0.9
        """[reconstructed] drops a group of 8 in which at most two answers agree."""

        @model_validator(mode="after")
        def _ordered(self) -> EMPO.Settings:
            if self.low >= self.high:
                raise ValueError(f"low={self.low} must lie below high={self.high}")
            return self

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return self._shares(batch, ctx)

    def select(self, batch: Batch, ctx: Context) -> list[int]:
        shares = self._shares(batch, ctx)
        spread = {number: entropy_share(shares[batch.rows_of(number)]) for number in batch.numbers()}
        kept = [number for number, each in spread.items() if self.settings.low < each < self.settings.high]
        self.log(ctx, "kept", len(kept))
        self.log(ctx, "dropped", len(spread) - len(kept))
        self.log(ctx, "entropy_share", sum(spread.values()) / max(len(spread), 1))
        return kept

    def _shares(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N]: size of each row's cluster over the size of its group."""
        opened = ctx.codec is not None and ctx.codec.opens_think
        out = torch.zeros_like(batch.reward)
        for number in batch.numbers():
            rows = batch.rows_of(number).tolist()
            texts = [final_answer(batch.rollouts[row].text, batch.samples[row], opened) for row in rows]
            placed = clusters(texts, batch.samples[rows[0]])
            sizes = Counter(placed)
            out[rows] = torch.tensor([sizes[each] / len(rows) for each in placed], dtype=out.dtype)
        return out


def final_answer(text: str, sample: Sample, opened_think: bool) -> str | None:
    """The answer as the grader reads it; None where there is none, or several. UserError for an ungraded kind."""
    kind = sample.answer.kind
    if kind not in GRADERS:
        raise UserError(
            f"sample {sample.id}: method empo compares answers by their grader, and kind {kind.value!r} has none; "
            f"one of {sorted(GRADERS)} is expected"
        )
    reading = read(text, sample.answer, opened_think=opened_think)
    return None if reading.hedged else reading.text


def same_answer(one: str, other: str, sample: Sample) -> bool:
    """Whether the grader calls `one` right with `other` as the gold, or the other way round; the gold is not asked."""
    table = sample.evidence.get("table")
    pairs = ((one, other), (other, one))
    return any(grade_read(said, replace(sample.answer, gold=gold), table).score > 0.0 for said, gold in pairs)


def clusters(texts: list[str | None], sample: Sample) -> list[int]:
    """The number of each answer's cluster; an answer that the grader cannot read stands alone."""
    firsts: list[str | None] = []
    out = []
    for text in texts:
        alike = (n for n, first in enumerate(firsts) if text and first and same_answer(text, first, sample))
        place = next(alike, len(firsts))
        if place == len(firsts):
            firsts.append(text if text and same_answer(text, text, sample) else None)
        out.append(place)
    return out


def entropy_share(shares: torch.Tensor) -> float:
    """H / ln G of a group from its rows' cluster shares [G]: H is the mean of - ln(share); 0 for one row."""
    return float(-shares.log().mean()) / math.log(len(shares)) if len(shares) > 1 else 0.0
