"""Clip-Cov: a few of the tokens that make entropy fall get no gradient.

Entropy falls where advantage and log-probability rise together: cov = (A - mean A)(l - mean l). Among the loss tokens
with low < cov < high that the clip has not cut already, floor(r N) are drawn at random and their loss is set to 0;
N counts all loss tokens, the normaliser stays that of all.

Means and N are those of a micro-batch (one optimiser batch where the token budget allows). A micro-batch of fewer than
1/r loss tokens therefore drops none unless `least` says so: the released code always drops one.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Method, Shaped, Trait
from mmreason.objectives.surrogate import cut_tokens
from mmreason.objectives.tokens import covariance


class ClipCov(Method):
    """TokenShaper. Counters: loss tokens, those within the covariance band, those dropped."""

    source = "The Entropy Mechanism of RL, arXiv 2505.22617"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.COVARIANCE, Trait.TOKEN_MASK, Trait.ENTROPY_UP})

    class Settings(Strict):
        """On top of GRPO without a KL term."""

        share: Coefficient = 2e-4
        """r [published]."""
        low: float = 1.0
        """Lower end of the band [published]."""
        high: float = 5.0
        """Upper end of the band [published]."""
        least: int = 0
        """Tokens dropped from a micro-batch at the least [reconstructed: the formula has none, the code 1]."""

    def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
        assert forward.ratio is not None
        rule, mask = forward.ratio, micro.mask
        cov = covariance(advantage, forward.logp, mask)
        band = mask & (cov > self.settings.low) & (cov < self.settings.high)
        band &= ~cut_tokens(rule.ratio.detach(), advantage, rule.low, rule.high)
        places = band.flatten().nonzero().squeeze(-1)
        count = max(int(self.at(self.settings.share, ctx) * int(mask.sum())), self.settings.least)
        # the micro-batches of a step would otherwise all draw the same places
        order = torch.randperm(len(places), generator=ctx.generator(int(micro.group[0])))
        keep = mask.clone()
        keep.view(-1)[places[order[:count].to(places.device)]] = False
        self.log(ctx, "tokens", float(mask.sum()))
        self.log(ctx, "band_tokens", float(len(places)))
        self.log(ctx, "dropped_tokens", float(mask.sum() - keep.sum()))
        return Shaped(advantage, keep=keep)
