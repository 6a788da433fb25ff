"""KL-Cov: the tokens that make entropy fall most are held near the policy before the update.

No clip. The loss of a token is -rho A; for the share k of loss tokens with the highest
cov = (A - mean A)(l - mean l) it is -rho A + beta |l - l_old|.

Means and ranks are those of a micro-batch (one optimiser batch where the token budget allows), at least one token is
held, as in the released code, and none whose covariance is not above 0: where all advantages are equal there is nothing
to rank. |l - l_old| has no gradient at 0, so the method acts from the second update of a step onwards; with one update
a step (`prompts_per_update` unset) it is -rho A alone, and the counter `distance` stays 0.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Method, Trait
from mmreason.objectives.ratio import log_ratio
from mmreason.objectives.tokens import covariance


class KlCov(Method):
    """Surrogate. Counters: loss tokens, those held, and the sum of their |l - l_old|."""

    source = "The Entropy Mechanism of RL, arXiv 2505.22617"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.COVARIANCE, Trait.ENTROPY_UP})

    class Settings(Strict):
        """As for a 7B model."""

        share: Coefficient = 2e-3
        """k [published: 2e-3 for 7B, 2e-4 for 32B]."""
        beta: Coefficient = 1.0
        """Weight of the distance [published]."""

    def check(self, grpo: Any) -> None:
        if grpo.surrogate != "clip" or grpo.dual_clip is not None:
            raise UserError(
                f"kl_cov brings a loss of its own, and grpo.surrogate={grpo.surrogate} with grpo.dual_clip="
                f"{grpo.dual_clip} would not be used; set surrogate=clip and dual_clip=null"
            )

    def surrogate(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        assert forward.ratio is not None
        held = self.held(advantage, micro, forward, ctx)
        distance = torch.where(held, log_ratio(forward.logp, forward.old).abs(), 0.0)
        self.log(ctx, "tokens", float(micro.mask.sum()))
        self.log(ctx, "held_tokens", float(held.sum()))
        self.log(ctx, "distance", float(distance.detach().sum()))
        return -forward.ratio.ratio * advantage + self.at(self.settings.beta, ctx) * distance

    def held(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        """bool [n, T]: the loss tokens of highest positive covariance."""
        cov = covariance(advantage, forward.logp, micro.mask)
        places = micro.mask.flatten().nonzero().squeeze(-1)
        count = min(max(int(self.at(self.settings.share, ctx) * len(places)), 1), len(places))
        held = torch.zeros_like(micro.mask)
        held.view(-1)[places[cov.flatten()[places].topk(count).indices]] = True
        return held & (cov > 0)
