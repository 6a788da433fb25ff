"""Estimators of the divergence KL(pi || pi_ref) from samples of pi (Schulman's note; zoo, 4.8).

d = l_ref - l, clamped. k1 is unbiased and signed, and as a loss has no gradient in expectation: it belongs into the
reward. k2 has the right gradient, k3 the right value; `k3_k2` joins them.
"""

from __future__ import annotations

from typing import Literal

import torch

from mmreason.objectives.ratio import log_ratio

Estimator = Literal["k1", "k2", "k3", "k3_k2"]
K3_LIMIT = 10.0
"""Bound on k3, which explodes where the policy left what the reference likes (zoo, 4.8)."""


def divergence(kind: Estimator, logp: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Per token, any shape."""
    if kind == "k3":
        return k3(logp, reference).clamp_max(K3_LIMIT)
    delta = log_ratio(reference, logp)
    if kind == "k1":
        return -delta
    k2 = 0.5 * delta.square()
    return k2 if kind == "k2" else k2 - k2.detach() + k3(logp, reference).detach().clamp_max(K3_LIMIT)


def k3(logp: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """exp(d) - d - 1, non-negative, 0 where the policies agree."""
    delta = log_ratio(reference, logp)
    return delta.exp() - delta - 1.0
