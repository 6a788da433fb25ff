"""DLER: the length limit is the only length penalty, and the batch normalises the advantage.

    r = c 1[L <= L_max]           a wrong, too long or cut answer has reward 0
    A = r - m_group, then whitened over the loss tokens of the batch

Groups whose answers all count or all do not are dropped. What counts is being right within the limit, the accuracy
of this method: a group that is all right and half too long carries the whole signal on length, and plain accuracy
would drop it. The difficulty-aware form [reconstructed] gives prompts that are mostly solved a lower limit.

The recipe's part: loss_mean: token, clip 0.2 and 0.28, dual_clip 10, kl_beta 5e-4, groups of 16.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives import advantage
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait


class DLER(Method):
    """RewardTerm, GroupPolicy and AdvEstimator. Counters: shares of right and of too long answers that train."""

    source = "DLER, arXiv 2510.15110"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.LENGTH, Trait.SCORES_TRUNCATED})
    combine = "mul"

    class Settings(Strict):
        """Limits in tokens that the model wrote."""

        max_tokens: Coefficient = 4000
        """L_max [published]; answers that sampling cut count as too long whatever their length."""
        easy_tokens: Coefficient | None = None
        """Limit for prompts solved in at least `easy_from` of their answers [reconstructed: no constants known]."""
        easy_from: float = 0.75
        """[reconstructed: upper quarter of the pass rate]."""

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return batch.correct * self.within(batch, ctx).double()

    def within(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """bool [N]: whole answers within their prompt's limit."""
        limit = torch.full_like(batch.reward, self.at(self.settings.max_tokens, ctx))
        if self.settings.easy_tokens is not None:
            easy = batch.by_group(batch.correct) >= self.settings.easy_from
            limit = torch.where(easy, self.at(self.settings.easy_tokens, ctx), limit)
        return (batch.length <= limit) & ~batch.truncated

    def select(self, batch: Batch, ctx: Context) -> list[int]:
        counts = self.reward(batch, ctx)
        mixed = batch.by_group(counts, "amax") > batch.by_group(counts, "amin")
        return list(dict.fromkeys(batch.group[mixed].tolist()))

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """Rows that sampling cut stay in all statistics; without any spread in the batch all is 0."""
        within = self.within(batch, ctx)
        rows = max(len(batch), 1)  # a process may be left without a group
        self.log(ctx, "right", float(batch.correct.sum()) / rows)
        self.log(ctx, "too_long", int((~within).sum()) / rows)
        return advantage.estimate(batch, "batch", torch.ones(len(batch), dtype=torch.bool))
