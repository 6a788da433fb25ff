"""Group-relative advantage of GRPO (arXiv 2402.03300, section 4.1)."""

from __future__ import annotations

import torch

EPSILON = 1e-6


def group_advantage(rewards: torch.Tensor, std_normalise: bool = True) -> torch.Tensor:
    """A = (R - mean) / (std + eps) over each group; float [P prompts, G answers] in and out.

    A group whose rewards are all equal gets exactly 0, never a quotient of rounding errors (zoo, 4.4).
    `std_normalise=False` leaves the division out (Dr. GRPO). The deviation is the population's (ddof 0).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if std_normalise:
        centred = centred / (rewards.std(dim=1, keepdim=True, correction=0) + EPSILON)
    alive = rewards.amax(dim=1, keepdim=True) > rewards.amin(dim=1, keepdim=True)
    return torch.where(alive, centred, torch.zeros_like(centred))
