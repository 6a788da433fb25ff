"""What has been forwarded: prompts, once for all answers to them, and answers on top of a prompt.

Axes: R prompts, K key/value heads, L prompt tokens, T tokens of an answer, E head size, A position axes (3 for mRoPE).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Prompts that were forwarded together, padded on the left."""

    layers: Layers  # each [R, K, L, E]
    attention: torch.Tensor  # bool [R, L]
    logits: torch.Tensor  # [R, V]: after the last token
    position: torch.Tensor  # int64 [R, 1] or [A, R, 1]: of the last token

    @property
    def pads(self) -> list[int]:
        """Columns of padding before each prompt."""
        pads: list[int] = (~self.attention).sum(1).tolist()
        return pads

    def mask(self) -> torch.Tensor | None:
        """[R, 1, 1, L], added to scores; None where all prompts have one length."""
        if self.attention.all():
            return None
        hidden = torch.zeros(self.attention.shape, dtype=self.layers[0][0].dtype, device=self.attention.device)
        return hidden.masked_fill(~self.attention, -torch.inf)[:, None, None]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """An answer as far as it has been forwarded, on top of prompt `index` of `block`."""

    block: Block
    index: int
    position: torch.Tensor  # int64 [1, 1] or [A, 1, 1]: of the last token
    ids: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    """Keys of the pictures and clips among `ids`."""
    layers: Layers = field(default_factory=list)
    """Each [K, T, E]; perhaps none where there are no ids."""

    @classmethod
    def fresh(cls, block: Block, index: int) -> Row:
        """A prompt with nothing after it."""
        return cls(block, index, block.position[..., index : index + 1, :])

    def begins(self, ids: tuple[int, ...], media: tuple[str, ...]) -> bool:
        """Whether what it holds is the beginning of an answer, its last id left to be forwarded."""
        size, held = len(self.ids), len(self.media)
        return size < len(ids) and self.ids == ids[:size] and self.media == media[:held]


def num_bytes(layers: Layers) -> int:
    """Memory that keys and values take."""
    return sum(keys.nbytes + values.nbytes for keys, values in layers)
