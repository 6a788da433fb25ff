"""What differs between model families: how positions are counted and how pictures and clips enter.

Axes: N rows, L tokens, A position axes (3 for mRoPE), D hidden size, F visual tokens of all media together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from mmreason.errors import UserError, nearest
from mmreason.models.medium import Medium
from mmreason.models.mrope import Rules, row_positions
from mmreason.models.weights import base_of


@dataclass(frozen=True, slots=True)
class Features:
    """What the vision tower makes of media, row by row."""

    embeds: torch.Tensor  # [F, D]
    deep: tuple[torch.Tensor, ...] = ()  # each [F, D]: added to the first decoder layers (Qwen3-VL)

    def take(self, index: torch.Tensor) -> Features:
        """Rows `index` of everything."""
        return Features(self.embeds[index], tuple(level[index] for level in self.deep))

    @classmethod
    def cat(cls, parts: Sequence[Features]) -> Features:
        """All rows in order."""
        deep = zip(*(part.deep for part in parts), strict=True)
        return cls(torch.cat([part.embeds for part in parts]), tuple(torch.cat(level) for level in deep))


class Family(Protocol):
    """One model family."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, media: Sequence[Medium]
    ) -> torch.Tensor:
        """int64 positions of left- or right-padded rows: [N, L], or [3, N, L] for mRoPE."""
        ...

    def media(self, media: Sequence[Medium], device: torch.device) -> dict[str, Any]:
        """Arguments of the whole model's forward that carry the media of all rows in order."""
        ...

    def features(self, model: PreTrainedModel, media: Sequence[Medium]) -> list[Features]:
        """One pass of the vision tower over all media."""
        ...

    def embed(self, model: PreTrainedModel, ids: torch.Tensor, features: Features | None) -> dict[str, Any]:
        """Arguments of the decoder for ids [N, L] whose placeholders take `features` in row order."""
        ...

    def decoder(self, model: PreTrainedModel) -> torch.nn.Module:
        """The decoder without its head."""
        ...


class TextFamily:
    """Qwen2 and Qwen3, text only."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, media: Sequence[Medium]
    ) -> torch.Tensor:
        return (attention.long().cumsum(-1) - 1).clamp_min(0)

    def media(self, media: Sequence[Medium], device: torch.device) -> dict[str, Any]:
        return {}

    def features(self, model: PreTrainedModel, media: Sequence[Medium]) -> list[Features]:
        raise UserError(f"{len(media)} pictures or clips for {model.config.model_type}, which reads text only")

    def embed(self, model: PreTrainedModel, ids: torch.Tensor, features: Features | None) -> dict[str, Any]:
        return {"inputs_embeds": plain(model).get_input_embeddings()(ids)}

    def decoder(self, model: PreTrainedModel) -> torch.nn.Module:
        inner: torch.nn.Module = plain(model).model
        return inner


class QwenVLFamily:
    """Qwen2.5-VL and Qwen3-VL: three position axes; text after a picture goes on from its largest position."""

    def positions(
        self, model: PreTrainedModel, ids: torch.Tensor, attention: torch.Tensor, media: Sequence[Medium]
    ) -> torch.Tensor:
        rules = _rules(plain(model).config)
        out = torch.zeros(3, *ids.shape, dtype=torch.long)
        left = list(media)
        for row, (tokens, real) in enumerate(zip(ids.cpu(), attention.bool().cpu(), strict=True)):
            own = tokens[real].numpy()
            held = _first(left, int(np.isin(own, rules.visual_ids).sum()), rules.merge)
            out[:, row, real] = torch.from_numpy(row_positions(own, left[:held], rules))
            left = left[held:]
        return out.to(ids.device)

    def media(self, media: Sequence[Medium], device: torch.device) -> dict[str, Any]:
        carried: dict[str, Any] = _grids(media, device)
        for name, kind in (("pixel_values", "image"), ("pixel_values_videos", "video")):
            pixels = [medium.pixels for medium in media if medium.kind == kind]
            if pixels:
                carried[name] = torch.cat(pixels).to(device)
        return carried

    def features(self, model: PreTrainedModel, media: Sequence[Medium]) -> list[Features]:
        tower: Any = plain(model).model.visual
        grids = torch.tensor([medium.grid for medium in media], device=model.device)
        pixels = torch.cat([medium.pixels for medium in media]).to(model.device, tower.dtype)
        made = tower(pixels, grid_thw=grids, return_dict=True)
        sizes = (grids.prod(-1) // tower.spatial_merge_size**2).tolist()
        deep = [level.split(sizes) for level in getattr(made, "deepstack_features", None) or ()]
        return [
            Features(embeds, tuple(level[index] for level in deep))
            for index, embeds in enumerate(made.pooler_output.split(sizes))
        ]

    def embed(self, model: PreTrainedModel, ids: torch.Tensor, features: Features | None) -> dict[str, Any]:
        config: Any = plain(model).config
        embeds = plain(model).get_input_embeddings()(ids)
        if features is None:
            return {"inputs_embeds": embeds}
        visual = (ids == config.image_token_id) | (ids == config.video_token_id)
        embeds = embeds.masked_scatter(visual.unsqueeze(-1), features.embeds.to(embeds.dtype))
        if not features.deep:
            return {"inputs_embeds": embeds}
        return {"inputs_embeds": embeds, "visual_pos_masks": visual, "deepstack_visual_embeds": list(features.deep)}

    def decoder(self, model: PreTrainedModel) -> torch.nn.Module:
        inner: torch.nn.Module = plain(model).model.language_model
        return inner


def _rules(config: Any) -> Rules:
    vision, apart = config.vision_config, config.model_type == "qwen3_vl"
    ids = (config.image_token_id, config.video_token_id)
    return Rules(ids, vision.spatial_merge_size, getattr(vision, "tokens_per_second", 1.0), apart)


def _first(media: Sequence[Medium], num_tokens: int, merge: int) -> int:
    """How many of `media`, in order, make at least `num_tokens` visual tokens."""
    index = 0
    while num_tokens > 0 and index < len(media):
        num_tokens -= media[index].num_tokens(merge)
        index += 1
    return index


def _grids(media: Sequence[Medium], device: torch.device) -> dict[str, torch.Tensor]:
    named = (("image_grid_thw", "image"), ("video_grid_thw", "video"))
    held = {name: [medium.grid for medium in media if medium.kind == kind] for name, kind in named}
    return {name: torch.tensor(grids, device=device) for name, grids in held.items() if grids}


_FAMILIES: dict[str, Family] = {
    "qwen2": TextFamily(),
    "qwen3": TextFamily(),
    "qwen2_5_vl": QwenVLFamily(),
    "qwen3_vl": QwenVLFamily(),
}


def unwrap(model: PreTrainedModel) -> PreTrainedModel:
    """The model inside a training engine (DeepSpeed), whose own `config` is another thing; or the model itself."""
    inner: PreTrainedModel = getattr(model, "module", model)
    return inner


def plain(model: PreTrainedModel) -> Any:
    """The transformers model inside training engine and adapters."""
    return base_of(unwrap(model))


def family_of(model: PreTrainedModel) -> Family:
    """The adapter for a model's type; UserError for a type that has none."""
    kind = unwrap(model).config.model_type
    if kind not in _FAMILIES:
        raise UserError(f"no family adapter for model type {kind!r}{nearest(kind, _FAMILIES)}")
    return _FAMILIES[kind]
