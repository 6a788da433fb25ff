"""Beyond the 80/20 rule: gradient on high-entropy tokens alone.

GRPO's advantage of a token is kept where its entropy lies among the highest share kappa, and 0 elsewhere:
A <- A x 1[H >= Q_{1-kappa}(H)]. The normaliser stays that of all tokens, so the mask lowers the gradient and does not
rescale it. The quantile is taken over the loss tokens of the whole batch, from entropies of the old policy, where the
authors take it over a micro-batch: this way it does not depend on how the batch is cut.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Need, Trait
from mmreason.objectives.tokens import quantile


class ForkingTokens(Method):
    """AdvTransform on the entropy of the old policy. Counter: share of loss tokens that keep their gradient."""

    source = "Beyond the 80/20 rule, arXiv 2506.01939"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_OLD})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TOKEN_MASK})

    class Settings(Strict):
        """On top of DAPO, without a KL term."""

        share: float = 0.2
        """kappa [published]."""

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        entropy = batch.aux["entropy_old"].double()
        edge = quantile(entropy[batch.mask], 1.0 - self.settings.share)
        kept = batch.mask & (entropy >= edge)
        self.log(ctx, "kept_share", float(kept.sum() / batch.mask.sum().clamp_min(1)))
        return torch.where(kept, advantage, 0.0)
