"""What methods that learn from rows of another hand share: their loss, and an entropy bonus."""

from __future__ import annotations

import torch

from mmreason.groups.head import BANNED
from mmreason.objectives.method import Forward


def shaped_probability_loss(advantage: torch.Tensor, forward: Forward, gamma: float) -> torch.Tensor:
    """-A f(pi) with f(pi) = pi / (pi + gamma) in place of the ratio, per token [n, T].

    Its slope in log pi is A f (1 - f): tokens that the policy already writes, and those it gives no chance, both move
    little; there is nothing to clip.
    """
    probability = forward.logp.exp()
    return -advantage * probability / (probability + gamma)


def entropy_with_gradient(logp: torch.Tensor) -> torch.Tensor:
    """Nats [m] from log-probabilities [m, V], for `Method.head`. Impossible tokens (-inf) count 0 and carry 0."""
    return -(logp.exp() * logp.clamp_min(BANNED)).sum(-1)
