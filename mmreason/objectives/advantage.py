"""Advantages from rewards: the recipe's five estimators over groups that are data, not positions.

A group whose rewards are all equal gets exactly 0, never a quotient of rounding errors (zoo, 4.4). Deviations are
those of the population (ddof 0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from mmreason.objectives.batch import Batch
from mmreason.run import processes

EPSILON = 1e-6
Advantage = Literal["group", "centred", "loo", "batch", "lite"]
Total = Callable[[float], float]


def estimate(batch: Batch, kind: Advantage, counted: torch.Tensor, total: Total = processes.total) -> torch.Tensor:
    """float64 [N] from `batch.reward`; rows outside `counted` (bool [N]) leave the statistics and get 0.

    group    (r - m_g) / (s_g + eps)                 GRPO (arXiv 2402.03300, 4.1)
    centred  r - m_g                                 Dr. GRPO (arXiv 2503.20783)
    loo      G / (G - 1) (r - m_g)                   RLOO (arXiv 2402.14740)
    lite     (r - m_g) / (s_batch of r + eps)        Lite PPO
    batch    r - m_g, then whitened over the loss tokens of the batch: REINFORCE++ baseline (arXiv 2501.03262)

    `total` sums over processes: statistics of the batch are those of all its rows.
    """
    rows = counted.nonzero().squeeze(-1)
    kept = batch.take(rows)
    centred = _alive(kept, kept.reward - kept.by_group(kept.reward))
    if kind == "group":
        centred = centred / (kept.by_group(kept.reward, "std") + EPSILON)
    elif kind == "loo":
        size = kept.by_group(torch.ones_like(centred), "sum")
        centred = centred * size / (size - 1.0).clamp_min(1.0)
    elif kind == "lite":
        centred = centred / (moments(kept.reward, torch.ones_like(centred), total)[1] + EPSILON)
    elif kind == "batch":
        tokens = kept.mask.sum(1).double()
        mean, std = moments(centred, tokens, total)
        centred = (centred - mean) / (std + EPSILON)
    out = torch.zeros(len(batch), dtype=torch.float64)
    out[rows] = centred
    return out


def _alive(batch: Batch, values: torch.Tensor) -> torch.Tensor:
    equal = batch.by_group(batch.reward, "amax") == batch.by_group(batch.reward, "amin")
    return torch.where(equal, 0.0, values)


def moments(values: torch.Tensor, weights: torch.Tensor, total: Total = processes.total) -> tuple[float, float]:
    """Weighted mean and deviation of the population over all processes."""
    count = max(total(float(weights.sum())), 1.0)
    mean = total(float((values * weights).sum())) / count
    return mean, (max(total(float((values.square() * weights).sum())) / count - mean**2, 0.0)) ** 0.5
