"""Reward spread: a group trains if its rewards differ, whatever the verifier says of its answers.

    keep a group if mean |r - mean r| >= 0.01, and draw again for those that fall out

as Pixel Reasoner's released code fills its buffer. DAPO's dynamic sampling (`grpo.dynamic_sampling`) goes by right and
wrong and so drops a group of right answers; under a reward that also grades the evidence those still differ, and train
here. Either filter works without the other; with both a group must pass both.

How loud such groups are depends on the estimator: without division by the deviation they keep their small scale, with
it they are as loud as mixed ones. `all_right` shows it: their share of the sum of |advantage| over the loss tokens,
which under a token mean stands in for the share of the gradient's norm (that would cost a backward pass of its own).
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method
from mmreason.run import processes


class RewardSpread(Method):
    """GroupPolicy. Counters: groups that fell out, share of |advantage| from groups that are all right."""

    source = "Pixel Reasoner, arXiv 2505.15966"

    class Settings(Strict):
        """The least spread, and how long to look for groups that have it."""

        least: float = Field(0.01, ge=0)
        """Mean distance from the group's mean reward [published]; 0 keeps every group and only counts."""
        attempts: int = Field(10, ge=1)
        """Draws of prompts to fill a step [reconstructed: DAPO's number; the released code goes on without bound]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._masked = False
        self._seen = (0, 0)

    def check(self, grpo: Any) -> None:
        self._masked = grpo.overlong == "mask"

    def attempts(self) -> int:
        return int(self.settings.attempts)

    def select(self, batch: Batch, ctx: Context) -> list[int]:
        kept = [number for number in batch.numbers() if self._differs(batch, number)]
        dropped = len(batch.numbers()) - len(kept)
        step, before = self._seen  # a refill asks again for the groups it has
        self._seen = (ctx.step, dropped)
        self.log(ctx, "dropped", dropped - (before if step == ctx.step else 0))
        return kept

    def _differs(self, batch: Batch, number: int) -> bool:
        """Rows that leave the statistics are not asked; a group of nothing else is kept, as DAPO's rule keeps it."""
        rows = [row for row in batch.rows_of(number).tolist() if "advantage" not in batch.rollouts[row].extras]
        if not rows:
            return True
        reward = batch.reward[[row for row in rows if not (self._masked and batch.truncated[row])]]
        spread = (reward - reward.mean()).abs().mean() if len(reward) else torch.zeros(())
        return float(spread) >= float(self.settings.least)

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        """The same advantage, counted."""
        size = torch.where(batch.mask, advantage.abs(), 0.0).sum(1)
        right = batch.by_group(batch.correct, "amin") > 0.0
        whole = processes.total(float(size.sum()))
        self.log(ctx, "all_right", processes.total(float(size[right].sum())) / whole if whole else 0.0)
        return advantage
