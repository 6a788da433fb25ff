"""Rows while they are decoded: what the next step needs, and what has been written.

Axes: N rows, A position axes (3 for mRoPE), L tokens held in the cache, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from transformers import DynamicCache

from mmreason.rollout.draw import Drawn
from mmreason.rollout.engine import Asked
from mmreason.rollout.shared_cache import SharedCache


@dataclass(slots=True)
class Held:
    """Rows that are being decoded."""

    logits: torch.Tensor  # [N, V]
    cache: DynamicCache | SharedCache
    attention: torch.Tensor  # bool [N, L]
    position: torch.Tensor  # [N, 1] or [A, N, 1]: of the last token

    def take(self, index: torch.Tensor) -> Held:
        """Rows `index`; the cache is changed in place."""
        if isinstance(self.cache, SharedCache):
            self.cache.take(index)
        else:
            self.cache.batch_select_indices(index)
        return Held(self.logits[index], self.cache, self.attention[index], self.position[..., index, :])

    def repeat(self, n: int) -> Held:
        """Each row `n` times. On a CPU the rows of a context share its keys; elsewhere the cache is repeated."""
        assert isinstance(self.cache, DynamicCache)
        cache: DynamicCache | SharedCache = self.cache
        if n > 1 and self.logits.device.type == "cpu":
            cache = SharedCache(self.cache, self.attention, n)
        elif n > 1:
            self.cache.batch_repeat_interleave(n)
        parts = self.logits.repeat_interleave(n, 0), self.attention.repeat_interleave(n, 0)
        return Held(parts[0], cache, parts[1], self.position.repeat_interleave(n, -2))


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


def last_position(positions: torch.Tensor) -> torch.Tensor:
    """Position of the last token of left-padded rows; with three axes the largest, from which text goes on."""
    if positions.dim() == 2:
        return positions[:, -1:]
    return positions.amax(dim=(0, 2)).view(1, -1, 1).expand(3, -1, 1)
