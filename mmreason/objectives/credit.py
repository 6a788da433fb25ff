"""Step 7: from rewards to the advantage and the weight of each token."""

from __future__ import annotations

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.config.schedule import value
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch
from mmreason.objectives.compose import Composition
from mmreason.objectives.kl import divergence
from mmreason.objectives.method import Context
from mmreason.objectives.reduce import token_weights
from mmreason.objectives.shaping import shared_prefix_weights
from mmreason.run import processes


def masked_overlong(batch: Batch, grpo: GrpoSettings) -> torch.Tensor:
    """bool [N]: rows in the statistics and in the loss; without those cut by the limit where `overlong` is mask."""
    return ~batch.truncated if grpo.overlong == "mask" else torch.ones(len(batch), dtype=torch.bool)


def charge_divergence(batch: Batch, grpo: GrpoSettings, ctx: Context) -> Batch:
    """With `kl_place: reward`, r - beta x sum of k1 over the row's loss tokens (as RLOO does, arXiv 2402.14740)."""
    if grpo.kl_place != "reward":
        return batch
    gap = divergence("k1", batch.aux["logp_old"].double(), batch.aux["logp_ref"].double())
    batch.reward = batch.reward - value(grpo.kl_beta, ctx.step, ctx.total) * torch.where(batch.mask, gap, 0.0).sum(1)
    return batch


def advantages(batch: Batch, grpo: GrpoSettings, composition: Composition, ctx: Context) -> torch.Tensor:
    """float64 [N, T]; the recipe's estimator or a method's, then the methods' transforms in declared order.

    Rows that bring an advantage of their own (replay) keep it and leave the group's statistics.
    """
    own = [rollout.extras.get("advantage") for rollout in batch.rollouts]
    counted = masked_overlong(batch, grpo) & torch.tensor([given is None for given in own])
    method = composition.one("estimate", ctx.step)
    if method is None:
        spread = estimate(batch, grpo.advantage, counted).unsqueeze(1).expand(batch.mask.shape)
    else:
        rows = counted.nonzero().squeeze(-1)
        made = method.estimate(batch.take(rows), ctx)
        spread = torch.zeros(batch.mask.shape, dtype=torch.float64)
        spread[rows] = made if made.dim() == 2 else made.unsqueeze(1).expand(len(rows), spread.shape[1])
    spread = torch.where(batch.mask, spread, 0.0)
    for row, given in enumerate(own):
        if given is not None:
            spread[row] = torch.where(batch.mask[row], float(given), 0.0)
    for transform in composition.all("transform", ctx.step):
        spread = transform.transform(spread, batch, ctx)
    return spread


def loss_weights(batch: Batch, grpo: GrpoSettings, composition: Composition, ctx: Context) -> torch.Tensor:
    """float64 [N, T]: a token's weight in the loss of one update, whose rows `batch` holds."""
    mask = batch.mask & masked_overlong(batch, grpo).unsqueeze(1)
    method = composition.one("weigh", ctx.step)
    if method is not None:
        weights = torch.where(mask, method.weigh(batch, ctx), 0.0)
    else:
        weights = token_weights(mask, grpo.loss_mean, batch.group, ctx.sampling.max_new_tokens, processes.total)
    return weights * shared_prefix_weights(batch, grpo.shared_prefix)
