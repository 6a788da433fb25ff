"""From losses of tokens to one number: the weight of each token, fixed for a whole optimiser update.

Loss = sum of weight x token loss. Denominators count all micro-batches and processes of the update, so that cutting
the batch otherwise does not change the gradient (DAPO; zoo, 4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

LossMean = Literal["token", "sequence", "sum", "constant", "prompt"]


def token_weights(
    mask: torch.Tensor,
    mean: LossMean,
    group: torch.Tensor | None = None,
    limit: int = 1,
    total: Callable[[float], float] = float,
) -> torch.Tensor:
    """float64 [N, T] from bool `mask` [N, T]; a row without tokens weighs nothing.

    token     1 / tokens of the update                             DAPO (arXiv 2503.14476)
    sequence  1 / (own tokens x rows with tokens)                  GRPO
    sum       1 / rows with tokens
    constant  1 / (rows with tokens x limit)                       Dr. GRPO (arXiv 2503.20783)
    prompt    1 / (tokens of the prompt's rows x prompts)

    `group` int64 [N] tells prompts apart; `limit` is the most tokens of an answer; `total` sums over processes.
    """
    weights = mask.double()
    own = weights.sum(1, keepdim=True)
    rows = max(total(float((own > 0).sum())), 1.0)
    if mean == "token":
        return weights / max(total(float(own.sum())), 1.0)
    if mean == "sequence":
        return weights / own.clamp_min(1.0) / rows
    if mean == "sum":
        return weights / rows
    if mean == "constant":
        return weights / (rows * limit)
    assert group is not None
    numbers, place = group.unique(return_inverse=True)
    tokens = torch.zeros(len(numbers), dtype=torch.float64).index_add_(0, place, own.squeeze(1))
    prompts = max(total(float((tokens > 0).sum())), 1.0)
    return weights / tokens[place].clamp_min(1.0).unsqueeze(1) / prompts
