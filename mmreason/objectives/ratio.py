"""Importance ratios between the new policy and that before the update."""

from __future__ import annotations

from typing import Literal

import torch

LOG_RATIO_LIMIT = 20.0
"""Keeps exp finite where a token's probability collapsed (zoo, 4.3)."""
RatioKind = Literal["token", "sequence", "sequence_token"]


def log_ratio(logp: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Clamped difference of log-probabilities, any shape."""
    return (logp - old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def make_ratio(kind: RatioKind, logp: torch.Tensor, old: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Ratios [N, T] of tokens in `mask` (bool [N, T]).

    token           exp(l - l_old)
    sequence        s = exp(mean over the row of l - l_old), the same for all its tokens: GSPO (arXiv 2507.18071, 4.1)
    sequence_token  sg(s) exp(l - sg(l)): the value of `sequence`, each token its own gradient (same, 4.3)
    """
    difference = torch.where(mask, logp - old, 0.0)
    if kind == "token":
        return difference.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    mean = difference.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp_min(1)
    sequence = mean.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    if kind == "sequence":
        return sequence.expand_as(logp)
    return sequence.detach() * (logp - logp.detach()).exp()
