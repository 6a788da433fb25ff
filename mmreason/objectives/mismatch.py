"""Weights for the gap between the engine that sampled and the trainer that learns (zoo, 4.6).

w_t = exp(l_old - l_roll), without gradient, outside the clip: truncated importance sampling and masked mismatch.
"""

from __future__ import annotations

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.objectives.ratio import log_ratio


def mismatch_weights(
    old: torch.Tensor, roll: torch.Tensor, mask: torch.Tensor, applies: torch.Tensor, grpo: GrpoSettings
) -> torch.Tensor:
    """[N, T]: 1 where nothing is to be done.

    truncate           min(w_t, cap)                               (note on off-policy RL, Yao et al. 2025)
    mask               1 inside [floor, cap], else 0; rows with a w_t below the veto are left out whole (IcePop)
    sequence_truncate  min(prod w_t, cap) for the whole row
    sequence_mask      1 if the row's geometric mean lies inside [floor, cap], else 0; with the veto

    Rows outside `applies` (bool [N]: external, or sampled from another context) have no behaviour probability.
    """
    ones = torch.ones_like(old)
    if grpo.mismatch == "off":
        return ones
    gap = torch.where(mask, log_ratio(old, roll.to(old)), 0.0)
    tokens = gap.exp()
    if grpo.mismatch == "truncate":
        weight = tokens.clamp_max(grpo.mismatch_cap)
    elif grpo.mismatch == "sequence_truncate":
        weight = gap.sum(1, keepdim=True).exp().clamp_max(grpo.mismatch_cap).expand_as(old)
    else:
        seen = tokens
        if grpo.mismatch == "sequence_mask":
            seen = (gap.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1)).exp().expand_as(old)
        inside = (seen >= grpo.mismatch_floor) & (seen <= grpo.mismatch_cap)
        vetoed = (mask & (tokens < grpo.mismatch_veto)).any(1, keepdim=True)
        weight = (inside & ~vetoed).to(old)
    return torch.where(applies.unsqueeze(1) & mask, weight, ones)
