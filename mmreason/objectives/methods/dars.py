"""DARS: more rollouts for hard prompts.

After N rollouts with pass rate p (0 counts as 0.5 / N) let S = 2 p (1 - p). A prompt with p < 0.5 gets

    dN = min(ceil((P - N S) / S), N_max - N)    with P = 0.5 N            (equal treatment)
                                                or   P = 2 (1 - p) 0.5 N  (hardness weighted)

more of them, so that hard prompts weigh as much in the update as those of even odds, or more. The advantage is
r - mean over the enlarged group, without a deviation. DARS-B, the authors' large runs, is a matter of the recipe: very
many prompts a step, one update on all of them, two epochs.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch

from mmreason.config.strict import Strict
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Group, Method, Trait
from mmreason.objectives.stage import seed_of, solved
from mmreason.rollout.engine import Request

ROUNDING = 1e-9
"""Keeps 24.000000000000004 from being rounded up to 25."""


def extra_rollouts(num: int, num_right: int, treatment: Literal["equal", "hardness"], most: int) -> int:
    """dN of the module docstring for `num_right` of `num` rollouts; 0 for a prompt of even odds or better."""
    rate = num_right / num if num_right else 0.5 / num
    if rate >= 0.5:
        return 0
    spread = 2.0 * rate * (1.0 - rate)
    wanted = 0.5 * num * (2.0 * (1.0 - rate) if treatment == "hardness" else 1.0)
    return max(min(math.ceil((wanted - num * spread) / spread - ROUNDING), most - num), 0)


class Dars(Method):
    """RolloutStage and AdvEstimator. Counters: groups enlarged, rollouts added, groups rescued from no success."""

    source = "DARS, Depth-Breadth Synergy in RLVR, arXiv 2508.13755"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RESCUES})

    class Settings(Strict):
        """First rollouts N are `grpo.group_size`; the authors use 8."""

        treatment: Literal["equal", "hardness"] = "hardness"
        """Which P [published: both]."""
        most: int = 32
        """N_max [published: 32, 64 in larger runs]."""

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        assert ctx.engine is not None
        right = [sum(solved(group, ctx)) for group in groups]
        extra = [self._extra(group, count) for group, count in zip(groups, right, strict=True)]
        # A prompt once for each rollout wanted: numbers differ between groups, and one call serves all.
        requests = [Request(g.sample, g.prompt) for g, more in zip(groups, extra, strict=True) for _ in range(more)]
        if not requests:
            return groups
        made = ctx.engine.extend(requests, ctx.sampling, 1, seed_of(ctx, "dars", groups[0].number), ctx.asked)
        fresh = iter(made)
        for group, count, more in zip(groups, right, extra, strict=True):
            added = [next(fresh)[0] for _ in range(more)]
            group.rollouts = [*group.rollouts, *added]
            self.log(ctx, "enlarged", more > 0)
            self.log(ctx, "added", more)
            self.log(ctx, "rescued", count == 0 and any(solved(group, ctx, added)))
        return groups

    def _extra(self, group: Group, num_right: int) -> int:
        return extra_rollouts(len(group.rollouts), num_right, self.settings.treatment, self.settings.most)

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return estimate(batch, "centred", torch.ones(len(batch), dtype=torch.bool))
