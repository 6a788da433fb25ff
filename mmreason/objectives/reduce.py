"""From per-token losses to one number, with a denominator fixed for the whole optimiser step."""

from __future__ import annotations

from typing import Literal

import torch

LossMean = Literal["token", "sequence"]


def token_weights(mask: torch.Tensor, mean: LossMean) -> torch.Tensor:
    """Weight of each token before the denominator: 1, or 1 / own length in `sequence`; float [N, T].

    A row without tokens weighs nothing.
    """
    weights = mask.float()
    if mean == "sequence":
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
    return weights


def denominator(lengths: list[int], mean: LossMean) -> float:
    """What all micro-batches and processes of one update divide by: tokens, or rows (DAPO; zoo, 4.2)."""
    return float(max(sum(lengths), 1) if mean == "token" else max(len(lengths), 1))


def reduce(loss: torch.Tensor, mask: torch.Tensor, mean: LossMean, total: float) -> torch.Tensor:
    """Sum of weighted per-token losses [N, T] over `total`."""
    return (loss * token_weights(mask, mean)).sum() / total
