"""What differs between model families: how positions are counted and which arguments carry pictures."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from transformers import PreTrainedModel

from mmreason.errors import UserError, nearest
from mmreason.models.weights import base_of


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
        inner: Any = base_of(unwrap(model))
        kinds = (ids == inner.config.image_token_id).int()
        positions, _ = inner.model.get_rope_index(ids, kinds, image_grid_thw=grids, attention_mask=attention)
        return torch.as_tensor(positions).long()

    def media(self, pixels: torch.Tensor | None, grids: torch.Tensor | None) -> dict[str, Any]:
        return {} if pixels is None else {"pixel_values": pixels, "image_grid_thw": grids}


_FAMILIES: dict[str, Family] = {"qwen2": TextFamily(), "qwen3": TextFamily(), "qwen2_5_vl": Qwen25VLFamily()}


def unwrap(model: PreTrainedModel) -> PreTrainedModel:
    """The model inside a training engine (DeepSpeed), whose own `config` is another thing; or the model itself."""
    inner: PreTrainedModel = getattr(model, "module", model)
    return inner


def family_of(model: PreTrainedModel) -> Family:
    """The adapter for a model's type; UserError for a type that has none."""
    kind = unwrap(model).config.model_type
    if kind not in _FAMILIES:
        raise UserError(f"no family adapter for model type {kind!r}{nearest(kind, _FAMILIES)}")
    return _FAMILIES[kind]
