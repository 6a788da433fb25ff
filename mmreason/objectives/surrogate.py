"""The clipped surrogate of PPO, as GRPO uses it (arXiv 2402.03300, equation 3)."""

from __future__ import annotations

import torch

LOG_RATIO_LIMIT = 20.0
"""Keeps exp finite where a token's probability collapsed (zoo, 4.3)."""


def log_ratio(logp: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Clamped difference of log-probabilities, any shape."""
    return (logp - old).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def clipped_surrogate(
    logp: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-token loss -min(rho A, clip(rho) A) and the tokens whose gradient the clip removed, both [N, T].

    `advantage` is [N, 1] or [N, T]; `old` carries no gradient.
    """
    ratio = log_ratio(logp, old).exp()
    clipped = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    loss = -torch.minimum(ratio * advantage, clipped * advantage)
    cut = ((advantage > 0) & (ratio > 1.0 + clip_high)) | ((advantage < 0) & (ratio < 1.0 - clip_low))
    return loss, cut
