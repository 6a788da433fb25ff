"""Estimators of the divergence from a reference policy (Schulman's note; zoo, 4.8)."""

from __future__ import annotations

import torch

from mmreason.objectives.surrogate import log_ratio


def k3(logp: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """exp(d) - d - 1 with d = log pi_ref - log pi, per token; non-negative, 0 where the policies agree."""
    delta = log_ratio(reference, logp)
    return delta.exp() - delta - 1.0
