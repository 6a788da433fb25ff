"""What differs between model families: how positions are counted and which arguments carry pictures."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from mmreason.errors import UserError, nearest


class Family(Protocol):
    """One model family. Axes: N rows, L tokens."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, grids: torch.Tensor | None
    ) -> torch.Tensor:
        """int64 positions of left- or right-padded rows: [N, L], or [3, N, L] for mRoPE."""
        ...

    def media(self, pixels: torch.Tensor | None, grids: torch.Tensor | None) -> dict[str, Any]:
        """Forward arguments that carry the pictures."""
        ...


class TextFamily:
    """Qwen2 and other text-only decoders."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, grids: torch.Tensor | None
    ) -> torch.Tensor:
        return (attention.long().cumsum(-1) - 1).clamp_min(0)

    def media(self, pixels: torch.Tensor | None, grids: torch.Tensor | None) -> dict[str, Any]:
        return {}


class Qwen25VLFamily:
    """Qwen2.5-VL: three position axes; text after a picture goes on from its largest position."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, grids: torch.Tensor | None
    ) -> torch.Tensor:
        inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        kinds = (ids == inner.config.image_token_id).int()
        positions, _ = inner.model.get_rope_index(ids, kinds, image_grid_thw=grids, attention_mask=attention)
        return positions.long()

    def media(self, pixels: torch.Tensor | None, grids: torch.Tensor | None) -> dict[str, Any]:
        return {} if pixels is None else {"pixel_values": pixels, "image_grid_thw": grids}


_FAMILIES: dict[str, Family] = {"qwen2": TextFamily(), "qwen3": TextFamily(), "qwen2_5_vl": Qwen25VLFamily()}


def family_of(model: PreTrainedModel) -> Family:
    """The adapter for a model's type; UserError for a type that has none."""
    kind = model.config.model_type
    if kind not in _FAMILIES:
        raise UserError(f"no family adapter for model type {kind!r}{nearest(kind, _FAMILIES)}")
    return _FAMILIES[kind]
