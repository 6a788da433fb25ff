"""Rows while they are decoded: what the next step needs, and what has been written.

Axes: N rows, A position axes (3 for mRoPE), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mmreason.rollout.contexts import Row
from mmreason.rollout.draw import Drawn
from mmreason.rollout.engine import Asked
from mmreason.rollout.shared_cache import SharedCache


@dataclass(slots=True)
class Held:
    """Rows that are being decoded."""

    logits: torch.Tensor  # [N, V]
    cache: SharedCache
    position: torch.Tensor  # [N, 1] or [A, N, 1]: of the last token

    @classmethod
    def of(cls, rows: Sequence[Row], logits: torch.Tensor, n: int) -> Held:
        """Each row `n` times, to go on from `logits` [rows, V]."""
        every = [row for row in rows for _ in range(n)]
        position = torch.cat([row.position for row in every], dim=-2)
        return cls(logits.repeat_interleave(n, 0), SharedCache(every), position)

    def take(self, index: torch.Tensor) -> Held:
        """Rows `index`; the cache is changed in place."""
        self.cache.take(index)
        return Held(self.logits[index], self.cache, self.position[..., index, :])


@dataclass(slots=True)
class Written:
    """One row's answer so far."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)


def write(rows: list[Written], drawn: Drawn, asked: Asked) -> None:
    """Add one drawn token to each row, with what was asked for."""
    for row, token, logp in zip(rows, drawn.token.tolist(), drawn.logp.tolist(), strict=True):
        row.ids.append(token)
        row.logprobs.append(logp)
    if asked.entropies:
        for row, entropy in zip(rows, drawn.entropy.tolist(), strict=True):
            row.entropies.append(entropy)
    if asked.heat is not None:
        for row, temperature in zip(rows, drawn.temperature.tolist(), strict=True):
            row.temperatures.append(temperature)
