"""Closed and open questions in one step: how they differ, and the re-weighting of the joint arm.

    R <- R sigma_ref / sigma_kind        sigma_kind: running standard deviation of R over closed, or over open answers

The paper re-weights rewards between the two kinds where it trains them jointly; the formula is reconstructed (arXiv
2505.19213). Where every group holds one question and advantages are divided by the group's deviation this does nothing:
it acts with centred or batch-wide advantages. With `scale: false` the method only counts, which every arm wants.

The pull of a kind, its share of the sum of |advantage| over the loss tokens, stands in for the norm of its gradient,
which would cost a backward pass of its own.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import torch
from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method
from mmreason.run import processes

KINDS = ("open", "closed")
"""By the value of the reward's part `closed`."""


class PerKind(Method):
    """RewardTerm, a factor. Counters of each kind: mean reward, spread in groups, share of flat groups, length, pull,
    factor."""

    source = "MedCCO, arXiv 2505.19213; reconstructed"
    provenance = "reconstructed"
    combine = "mul"
    shared = True

    class Settings(Strict):
        """Constants of the re-weighting."""

        scale: bool = True
        """False: count alone."""
        reference: float = Field(0.5, gt=0)
        """sigma_ref [reconstructed: the deviation of a fair 0/1 reward, so that closed questions stay as they are]."""
        momentum: float = Field(0.9, ge=0, lt=1)
        """Weight of the steps before in the running moments [reconstructed: some ten steps]."""
        least: float = Field(0.02, gt=0)
        """Least deviation that is divided by [reconstructed: a kind that is mastered must not explode]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.moments: dict[str, list[float]] = {}
        """Kind -> running mean of R and of R squared; a kind enters with its first step."""
        self._scored: Batch | None = None

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        if "closed" not in batch.terms:
            raise UserError(
                f"method {self.name or 'per_kind'} finds no part 'closed' in the reward of sample "
                f"{batch.samples[0].id}: declare the reward {{term: medcco/rewards.py:reward}} in the recipe's task"
            )
        self._scored = batch  # rewards before the factors of all methods
        factors = {kind: self.factor(kind) if self.settings.scale else 1.0 for kind in KINDS}
        closed = batch.terms["closed"] > 0.5
        return torch.where(closed, factors["closed"], factors["open"]).to(torch.float64)

    def factor(self, kind: str) -> float:
        """sigma_ref / sigma_kind; 1 for a kind not seen yet."""
        if kind not in self.moments:
            return 1.0
        return float(self.settings.reference / max(self.deviation(kind), self.settings.least))

    def deviation(self, kind: str) -> float:
        """Running standard deviation of a kind that was seen."""
        mean, square = self.moments[kind]
        return math.sqrt(max(square - mean * mean, 0.0))

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        """The same advantage, its pull counted by kind."""
        size = torch.where(batch.mask, advantage.abs(), 0.0).sum(1)
        whole = processes.total(float(size.sum()))
        own = processes.total(float(size[batch.terms["closed"] > 0.5].sum()))
        self.log(ctx, "closed_pull", own / whole if whole else 0.0)
        return advantage

    def observe(self, batch: Batch, ctx: Context) -> None:
        """Count the step as it was scored, then let it into the running moments."""
        assert self._scored is not None, "observe comes after reward in every step"
        scored, self._scored = self._scored, None
        spread, closed = scored.by_group(scored.reward, "std"), scored.terms["closed"] > 0.5
        columns = (scored.group.double(), closed.double(), scored.reward, spread, scored.length.double())
        rows = processes.gather(torch.stack(columns, dim=1)).tolist()
        for place, kind in enumerate(KINDS):
            own = sorted(row for row in rows if int(row[1]) == place)  # one order, however many processes sampled them
            if own:
                self._log_kind(kind, own, ctx)
                self._track(kind, [row[2] for row in own])

    def _log_kind(self, kind: str, rows: list[list[float]], ctx: Context) -> None:
        groups = {row[0]: row[3] for row in rows}
        self.log(ctx, f"{kind}_reward", fmean(row[2] for row in rows))
        self.log(ctx, f"{kind}_sd", fmean(groups.values()))
        self.log(ctx, f"{kind}_flat", fmean(sd < 1e-9 for sd in groups.values()))
        self.log(ctx, f"{kind}_length", fmean(row[4] for row in rows))
        self.log(ctx, f"{kind}_factor", self.factor(kind) if self.settings.scale else 1.0)

    def _track(self, kind: str, rewards: list[float]) -> None:
        now = [fmean(rewards), fmean(value * value for value in rewards)]
        past, keep = self.moments.get(kind, now), float(self.settings.momentum)
        self.moments[kind] = [keep * old + (1.0 - keep) * new for old, new in zip(past, now, strict=True)]

    def state(self) -> dict[str, Any]:
        return {"moments": self.moments}

    def load(self, state: dict[str, Any]) -> None:
        self.moments = {kind: [float(value) for value in pair] for kind, pair in state["moments"].items()}
