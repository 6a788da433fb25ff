"""Losses of tokens from ratios, clip bounds and advantages."""

from __future__ import annotations

from typing import Literal

import torch

SurrogateKind = Literal["clip", "cispo"]
Bound = torch.Tensor | float


def token_loss(
    kind: SurrogateKind,
    ratio: torch.Tensor,
    advantage: torch.Tensor,
    low: Bound,
    high: Bound,
    logp: torch.Tensor,
    dual_clip: float | None = None,
) -> torch.Tensor:
    """Loss of each token [N, T]; ratios are kept within [low, high].

    clip   -min(rho A, clip(rho) A), and with `dual_clip` c at most -c A where A < 0 (arXiv 1912.09729)
    cispo  -sg(min(rho, high)) A l: no token loses its gradient (MiniMax-M1, arXiv 2506.13585; the lower bound is off)
    """
    if kind == "cispo":
        return -torch.minimum(ratio.detach(), _as(high, ratio)) * advantage * logp
    clipped = torch.minimum(torch.maximum(ratio, _as(low, ratio)), _as(high, ratio))
    loss = -torch.minimum(ratio * advantage, clipped * advantage)
    if dual_clip is not None:
        loss = torch.where(advantage < 0, torch.minimum(loss, -dual_clip * advantage), loss)
    return loss


def _as(bound: Bound, like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(bound, dtype=like.dtype, device=like.device)


def cut_tokens(ratio: torch.Tensor, advantage: torch.Tensor, low: Bound, high: Bound) -> torch.Tensor:
    """bool [N, T]: tokens whose gradient the clip removed."""
    return ((advantage > 0) & (ratio > high)) | ((advantage < 0) & (ratio < low))
