"""HAPO: every stage treats a token by its entropy.

h is ln H less its 0.8-quantile, each side divided by its largest value, so -1 <= h <= 1 with the sign kept (the
deviation that the authors divide by before cancels). Then
    a  sampling   temperature T (1 + tau h), h by the quantile and sides of the step before
    b  advantage  mean and deviation of the rewards over all loss tokens of the group, that is weighted by length;
                  GRPO's own where some |A| of the group reaches 5
    c  advantage  A <- A (1 + h) where h > 0 and rho outside the inner half of the clip range, or h <= 0 and rho inside
    d  clip       lower width x (1 - h) where h <= 0, upper width x (1 + h) where h > 0
on DAPO with 16 rollouts. The inner half in (c) is that of the widths after (d), as in the released code. That code
divides negative h by a negative number and so loses the sign; here h keeps it.

(c) and (d) use entropies of the new policy over a micro-batch; (a) those of the old policy over the step, with the mean
of the quantiles of all processes; a step without tokens changes nothing. A side on which no token lies has h = 0, so
equal entropies leave plain DAPO, and the first step samples at T. Deviations are of the population; a group of equal
rewards gets exactly 0. Not with vLLM, which takes one temperature a request.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from mmreason.config.strict import Strict
from mmreason.objectives.advantage import EPSILON
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Method, Need, Ratio, Shaped, Trait
from mmreason.objectives.ratio import log_ratio
from mmreason.objectives.tokens import quantile
from mmreason.run import processes

SMALLEST = 1e-8
"""Entropy below which logarithms stop [published]."""


@dataclass(frozen=True)
class Scale:
    """Where ln H is 0 of h, and how far it lies to the farthest token on either side."""

    pivot: float
    low: float
    high: float

    @classmethod
    def of(cls, entropy: torch.Tensor, pivot: float) -> Scale:
        """From entropies [m] in nats; no sides where there are none."""
        if not len(entropy):
            return cls(0.0, 0.0, 0.0)
        logs = entropy.detach().double().clamp_min(SMALLEST).log()
        middle = float(quantile(logs, pivot))
        return cls(middle, max(middle - float(logs.min()), 0.0), max(float(logs.max()) - middle, 0.0))

    def place(self, entropy: torch.Tensor) -> torch.Tensor:
        """h of entropies of any shape, float64 within [-1, 1]."""
        away = entropy.detach().double().clamp_min(SMALLEST).log() - self.pivot
        above = (away / self.high).clamp_max(1.0) if self.high else torch.zeros_like(away)
        below = (away / self.low).clamp_min(-1.0) if self.low else torch.zeros_like(away)
        return torch.where(away > 0, above, below)


def normalised(rewards: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(r - mean) / (deviation + eps) of one group [G] under weights [G]; 0 where all rewards are equal."""
    if rewards.max() == rewards.min():
        return torch.zeros_like(rewards)
    share = weights / weights.sum()
    centred = rewards - (share * rewards).sum()
    return centred / ((share * centred.square()).sum().sqrt() + EPSILON)


class Hapo(Method):
    """RolloutStage, AdvEstimator, RatioRule and TokenShaper. Counters: groups that fell back to GRPO, loss tokens,
    those whose advantage changed, and the quantile that heats the next step."""

    source = "HAPO, arXiv 2509.16591"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_OLD})
    traits: ClassVar[frozenset[Trait]] = frozenset(
        {Trait.HEATS, Trait.TOKEN_MEANS, Trait.TOKEN_RATIO, Trait.TOKEN_WEIGHT}
    )

    class Settings(Strict):
        """On top of DAPO."""

        tau: float = 0.05
        """Reach of the temperature [published]."""
        pivot: float = 0.8
        """Quantile of ln H at which a token is neither hot nor cold [published]."""
        clip_low: float = 0.2
        """Lower width before (d), in place of the recipe's [published]."""
        clip_high: float = 0.2
        """Upper width before (d), in place of the recipe's [published]."""
        largest: float = 5.0
        """|A| at which a group falls back to GRPO [published]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.scale: Scale | None = None
        """Of the step before."""

    def state(self) -> dict[str, Any]:
        return {"scale": asdict(self.scale) if self.scale else None}

    def load(self, state: dict[str, Any]) -> None:
        self.scale = Scale(**state["scale"]) if state["scale"] else None

    def heat(self, logp: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            return logp.new_ones(len(logp))
        factor: torch.Tensor = 1.0 + self.settings.tau * self.scale.place(-(logp.exp() * logp).sum(-1))
        return factor.to(logp)

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        lengths, out = batch.mask.sum(1).double(), torch.zeros_like(batch.reward)
        for number in batch.numbers():
            rows = batch.rows_of(number)
            equal = torch.ones(len(rows), dtype=torch.float64)
            made = normalised(batch.reward[rows], lengths[rows] if lengths[rows].any() else equal)
            if made.abs().max() >= self.settings.largest:
                made = normalised(batch.reward[rows], equal)
                self.log(ctx, "fallback_groups", 1.0)
            out[rows] = made
        return out

    def ratio(self, micro: Batch, forward: Forward, ctx: Context) -> Ratio:
        h = self.places(micro, forward).to(forward.logp)
        low, high = self.settings.clip_low, self.settings.clip_high
        return Ratio(
            log_ratio(forward.logp, forward.old).exp(),
            1.0 - low * (1.0 - h.clamp_max(0.0)),
            1.0 + high * (1.0 + h.clamp_min(0.0)),
        )

    def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
        assert forward.ratio is not None
        rho, low, high = forward.ratio.ratio.detach(), forward.ratio.low, forward.ratio.high
        h = self.places(micro, forward).to(advantage)
        inside = (rho > (1.0 + low) / 2.0) & (rho < (1.0 + high) / 2.0)
        changed = micro.mask & torch.where(h > 0, ~inside, inside) & (h != 0)
        self.log(ctx, "tokens", float(micro.mask.sum()))
        self.log(ctx, "changed_tokens", float(changed.sum()))
        return Shaped(torch.where(changed, advantage * (1.0 + h), advantage))

    def places(self, micro: Batch, forward: Forward) -> torch.Tensor:
        """h of each loss token [n, T] by the entropies of this micro-batch, 0 elsewhere."""
        scale = Scale.of(forward.entropy[micro.mask], self.settings.pivot)
        return torch.where(micro.mask, scale.place(forward.entropy), 0.0)

    def observe(self, batch: Batch, ctx: Context) -> None:
        own = batch.mask & ~batch.external.unsqueeze(1)
        here = Scale.of(batch.aux["entropy_old"][own], self.settings.pivot)
        count = processes.total(float(own.any()))
        if not count:
            return
        pivot = processes.total(here.pivot) / count
        self.scale = Scale(pivot, processes.largest(here.low), processes.largest(here.high))
        self.log(ctx, "pivot", pivot)
