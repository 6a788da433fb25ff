"""The language-model head fused with log-prob, chunk by chunk, on the positions that need it.

Axes: n positions, D hidden size, V vocabulary. Nothing of size n x V is kept: a chunk's logits are made again in the
backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch.utils.checkpoint import checkpoint

CHUNK_LOGITS = 1 << 24
"""Logits computed at once; 64 MiB in float32."""

BANNED = -1e9
"""Logit of an id that is never sampled. Its probability is exactly 0; infinity, or the smallest number times a gradient
above 1, would make 0 x inf of its term in an entropy."""

Extra = Callable[[torch.Tensor], torch.Tensor]
"""Log-probabilities [n, V] -> one number a position [n], differentiable (an entropy, a filtered log-prob)."""


def entropy(logp: torch.Tensor) -> torch.Tensor:
    """-sum p ln p in nats, [n]. Banned ids, whose log-probability is the smallest number, add 0."""
    return -(logp.exp() * logp).sum(-1)


def score(
    head: Callable[[torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    targets: torch.Tensor,
    temperature: float | torch.Tensor = 1.0,
    banned: Sequence[int] = (),
    extras: Mapping[str, Extra] | None = None,
) -> dict[str, torch.Tensor]:
    """`logp` of each target [n] and whatever `extras` ask, from hidden [n, D].

    Logits are divided by `temperature` (one number, or [n]) first; `banned` ids, which the engine never samples, have
    no probability.
    """
    wanted = dict(extras or {})
    held = torch.tensor(list(banned), dtype=torch.long, device=hidden.device)

    heat = temperature if isinstance(temperature, torch.Tensor) else hidden.new_full((len(hidden),), temperature)

    def run(part: torch.Tensor, target: torch.Tensor, heat: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = head(part)
        logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        logits = logits / heat.to(logits).unsqueeze(-1)
        if len(held):
            logits = logits.index_fill(-1, held, BANNED)
        logp = torch.log_softmax(logits, dim=-1)
        taken = logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        return taken, *(extra(logp) for extra in wanted.values())

    size = max(CHUNK_LOGITS // _vocabulary(head), 1)
    parts = [
        checkpoint(run, *part, use_reentrant=False, preserve_rng_state=False)
        if torch.is_grad_enabled() and len(hidden) > size
        else run(*part)
        for part in zip(hidden.split(size), targets.split(size), heat.split(size), strict=True)
    ]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    return dict(zip(("logp", *wanted), columns, strict=True))


def _vocabulary(head: Callable[[torch.Tensor], torch.Tensor]) -> int:
    return int(getattr(head, "out_features", 0)) or 1 << 17
