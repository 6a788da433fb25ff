"""STEER: tokens count the less, the more an update on them would change the entropy.

To first order a token's update changes the entropy in proportion to
Omega = (A / pi_old) pi (1 - pi) (ln pi + H), with pi the probability of the token and H the entropy of the new policy.
The clipped loss of the token is multiplied by
    linear       w = w_max - (|Omega| - min) / (max - min) (w_max - w_min)
    exponential  w = exp(-k |Omega|), k = -ln w_min / max(max |Omega|, 0.02)
without gradient through w. The authors run it with clip 0.2/0.28, dual clip 10 and no KL.

Minimum and maximum are those of a micro-batch, as in the released code. Where all |Omega| are equal (no advantage at
all, one token) the linear weight is the middle of its range. pi / pi_old is exp of a log-ratio kept within +-20.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch

from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Method, Shaped, Trait
from mmreason.objectives.ratio import log_ratio

FLOOR = 0.02
"""Below this largest |Omega| the exponential does not sharpen further [published]."""


def entropy_change(advantage: torch.Tensor, forward: Forward) -> torch.Tensor:
    """|Omega| of each token, float64 [n, T], without gradient."""
    logp = forward.logp.detach().double()
    ratio = log_ratio(logp, forward.old.double()).exp()
    return (advantage.double() * ratio * -torch.expm1(logp) * (logp + forward.entropy.double())).abs()


class Steer(Method):
    """TokenShaper. Counters: loss tokens, those weighing less than 1, and the sum of weights."""

    source = "STEER, arXiv 2510.10150"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TOKEN_WEIGHT})

    class Settings(Strict):
        """On top of DAPO."""

        kind: Literal["linear", "exponential"] = "linear"
        """Both published."""
        w_min: float = 0.8
        """Weight of the token that changes entropy most [published]."""
        w_max: float = 1.2
        """Weight of the one that changes it least [published]; the exponential's is 1."""

    def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
        change = entropy_change(advantage, forward)
        weight = torch.ones_like(change)
        if micro.mask.any():
            weight = torch.where(micro.mask, self.weights(change, change[micro.mask]), 1.0)
        self.log(ctx, "tokens", float(micro.mask.sum()))
        self.log(ctx, "lowered_tokens", float((weight < 1.0).sum()))
        self.log(ctx, "weight_sum", float(weight[micro.mask].sum()))
        return Shaped(advantage, weight=weight.to(forward.logp))

    def weights(self, change: torch.Tensor, among: torch.Tensor) -> torch.Tensor:
        """Weights of |Omega| [n, T], scaled by the range of those of the loss tokens [m]."""
        least, most = among.min(), among.max()
        low, high = self.settings.w_min, self.settings.w_max
        if self.settings.kind == "exponential":
            weight = (change / most.clamp_min(FLOOR) * math.log(low)).exp()
        elif most > least:
            weight = high - (change - least) / (most - least) * (high - low)
        else:
            weight = torch.full_like(change, (low + high) / 2.0)
        return weight
