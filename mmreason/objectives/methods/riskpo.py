"""RiskPO: the advantage is a mixed value-at-risk of the summed reward of a bundle of questions.

B questions of the step make a bundle; the k-th answers of each of them share the score R, the sum of their rewards. Two
quantiles of R are tracked over the run, q <- q + eta (a - share of bundles with R < q), and all rows of a bundle get

    A = [w (-(q_lo - R)_+ / a_lo) + ((R - q_lo)_+ - (R - q_hi)_+ + q_lo - q_hi) / (a_hi - a_lo)] / (w + 1)

which is 0 from q_hi upwards and falls steeply below q_lo: what is mastered has no gradient, the lower tail has most.
The first batch starts the quantiles at its own. A bundle that lacks answers (the last questions of the step, groups of
unequal size) is scaled to B [reconstructed], so that its score lives on the scale of the quantiles. The released
scripts also divide by deviations of question and bundle, which the formula has not.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait
from mmreason.run import processes


class RiskPO(Method):
    """AdvEstimator over bundles of questions. Counters: both quantiles, share of bundles below the lower one."""

    source = "RiskPO, arXiv 2510.00911"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.OWN_GROUPS})

    class Settings(Strict):
        """Levels, weights and pace."""

        bundle: int = Field(default=5, ge=1)
        """B, questions a bundle [published]."""
        low: float = Field(default=0.2, gt=0.0, lt=1.0)
        """a_lo, level of the lower quantile [published]."""
        high: float = Field(default=0.9, gt=0.0, lt=1.0)
        """a_hi [published: 0.8 to 0.9]."""
        weight: Coefficient = 1.5
        """w, weight of the lower tail [published]."""
        rate: Coefficient = 0.1
        """eta, in reward per step [published in the released scripts]."""

        @model_validator(mode="after")
        def _ordered(self) -> RiskPO.Settings:
            if self.low >= self.high:
                raise ValueError(f"low={self.low} must lie below high={self.high}")
            return self

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.quantiles: list[float] = []
        """q_lo and q_hi; empty before the first step."""

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        s = self.settings
        members = bundles(batch, s.bundle)
        scores = batch.reward.new_tensor([float(batch.reward[rows].sum()) * s.bundle / len(rows) for rows in members])
        if not self.quantiles:
            self.quantiles = self._first(scores)
        q_low, q_high = self.quantiles
        values = mixed_value_at_risk(scores, q_low, q_high, s.low, s.high, self.at(s.weight, ctx))
        out = torch.zeros_like(batch.reward)
        for rows, value in zip(members, values, strict=True):
            out[rows] = value
        self._track(scores, ctx)
        return out

    def _first(self, scores: torch.Tensor) -> list[float]:
        """Quantiles of the step's own scores, the mean over processes, each of which counts by its bundles."""
        levels = scores.new_tensor([self.settings.low, self.settings.high])
        own = torch.quantile(scores, levels).tolist() if len(scores) else [0.0, 0.0]
        count = processes.total(len(scores))
        return [processes.total(each * len(scores)) / count for each in own]

    def _track(self, scores: torch.Tensor, ctx: Context) -> None:
        """One step of both quantiles on the bundles of all processes."""
        count, rate = processes.total(len(scores)), self.at(self.settings.rate, ctx)
        below = [processes.total(float((scores < each).sum())) / count for each in self.quantiles]
        for key, each in zip(("q_low", "q_high"), self.quantiles, strict=True):
            self.log(ctx, key, each)
        self.log(ctx, "below_low", below[0])
        levels = (self.settings.low, self.settings.high)
        moved = zip(self.quantiles, levels, below, strict=True)
        self.quantiles = [each + rate * (level - share) for each, level, share in moved]

    def state(self) -> dict[str, Any]:
        return {"quantiles": self.quantiles}

    def load(self, state: dict[str, Any]) -> None:
        self.quantiles = [float(each) for each in state["quantiles"]]


def bundles(batch: Batch, size: int) -> list[list[int]]:
    """Rows of each bundle: the k-th answers of `size` questions, questions in order of appearance."""
    numbers = batch.numbers()
    out = []
    for start in range(0, len(numbers), size):
        columns = [batch.rows_of(number).tolist() for number in numbers[start : start + size]]
        out += [[row for row in rows if row is not None] for rows in zip_longest(*columns)]
    return out


def mixed_value_at_risk(
    scores: torch.Tensor, q_low: float, q_high: float, low: float, high: float, weight: float
) -> torch.Tensor:
    """The advantage of scores [K]; see the head of the file."""
    tail = -(q_low - scores).clamp_min(0.0) / low
    middle = (scores - q_low).clamp_min(0.0) - (scores - q_high).clamp_min(0.0) + q_low - q_high
    return (weight * tail + middle / (high - low)) / (weight + 1.0)
