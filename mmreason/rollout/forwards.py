"""The forward passes that sampling needs: prompts, new tokens behind what is held, one token a row.

Axes: R prompts, N rows, U new tokens of all rows, A position axes (3 for mRoPE), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from mmreason.groups.attention import Cached, use_tree_attention
from mmreason.models.codec import Codec, Encoded
from mmreason.models.families import Features, family_of, plain
from mmreason.models.medium import Medium, distinct
from mmreason.models.rows import make_rows
from mmreason.rollout.appended import Appended
from mmreason.rollout.contexts import Block, Layers, Row
from mmreason.rollout.kept import Kept
from mmreason.rollout.shared_cache import SharedCache

FeatureSource = Callable[[Sequence[Medium]], list[Features]]
"""Features of each medium, in order."""
AT_ONCE = 1 << 14
"""New tokens forwarded together unless one row alone has more; bounds what a layer holds in between."""


class Forwards:
    """Runs `model`; `tokens` counts ids forwarded outside decoding, `vision_passes` media sent through the tower."""

    def __init__(self, model: PreTrainedModel, codec: Codec, features: FeatureSource | None = None) -> None:
        use_tree_attention(model)
        self.model = model
        self.codec = codec
        self.features = features
        self.tokens = 0
        self.vision_passes = 0

    def prompts(self, prompts: Sequence[Encoded], kept: Kept | None = None) -> Block:
        """Each of them once."""
        rows = make_rows(prompts, [()] * len(prompts), self.codec.pad_id, self.model.device)
        positions = family_of(self.model).positions(self.model, rows.ids, rows.attention, rows.media)
        cache = DynamicCache(config=plain(self.model).config.get_text_config())
        hidden = self._decoder(
            rows.ids,
            positions,
            self._features(rows.media, kept),
            attention_mask=rows.attention,
            past_key_values=cache,
            use_cache=True,
        )
        self.tokens += int(rows.attention.sum())
        return Block(_layers(cache), rows.attention, self._logits(hidden[:, -1]), _last(positions))

    def onward(
        self, rows: Sequence[Row], parts: Sequence[Encoded], kept: Kept | None = None
    ) -> tuple[list[Row], torch.Tensor]:
        """Each row with the ids of its part behind it, and the logits [N, V] after the last of them."""
        made, logits = [], []
        for chosen in _portions([len(part.ids) for part in parts]):
            grown, after = self._append([rows[i] for i in chosen], [parts[i] for i in chosen], kept)
            made += grown
            logits.append(after)
        return made, torch.cat(logits)

    def step(self, token: torch.Tensor, position: torch.Tensor, cache: SharedCache) -> torch.Tensor:
        """Logits [N, V] after one token a row, int64 [N], at position [N, 1] or [A, N, 1]."""
        return self._logits(self._on(cache, token.unsqueeze(-1), position, None)[:, -1])

    def _append(self, rows: list[Row], parts: list[Encoded], kept: Kept | None) -> tuple[list[Row], torch.Tensor]:
        family, device = family_of(self.model), self.model.device
        widths = [len(part.ids) for part in parts]
        positions = []
        for row, part in zip(rows, parts, strict=True):
            ids = torch.tensor([part.ids])
            own = family.positions(self.model, ids, torch.ones_like(ids, dtype=torch.bool), part.media).to(device)
            positions.append(own + row.position + 1)
        ids = torch.tensor([[token for part in parts for token in part.ids]], device=device)
        media, cache = [medium for part in parts for medium in part.media], Appended(rows, widths)
        hidden = self._on(cache, ids, torch.cat(positions, dim=-1), self._features(media, kept))
        self.tokens += sum(widths)
        ends = torch.tensor(widths, device=device).cumsum(0) - 1
        grown = [
            replace(
                row,
                position=_last(place),
                ids=(*row.ids, *part.ids),
                media=(*row.media, *(medium.key for medium in part.media)),
                layers=layers,
            )
            for row, place, part, layers in zip(rows, positions, parts, cache.grown(), strict=True)
        ]
        return grown, self._logits(hidden[0, ends])

    def _on(self, cache: Cached, ids: torch.Tensor, positions: torch.Tensor, features: Features | None) -> torch.Tensor:
        """Hidden states of ids that `cache` lets attend to what it holds."""
        nothing = torch.zeros(1, 1, 1, 1, device=ids.device)  # four axes: taken as it is, then ignored
        return self._decoder(ids, positions, features, attention_mask=nothing, use_cache=False, shared=cache)

    def _decoder(
        self, ids: torch.Tensor, positions: torch.Tensor, features: Features | None, **how: object
    ) -> torch.Tensor:
        family = family_of(self.model)
        inputs = family.embed(self.model, ids, features)
        hidden: torch.Tensor = family.decoder(self.model)(**inputs, position_ids=positions, **how).last_hidden_state
        return hidden

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = plain(self.model).get_output_embeddings()(hidden)
        return logits

    def _features(self, media: Sequence[Medium], kept: Kept | None) -> Features | None:
        if not media:
            return None
        if self.features is not None:
            return Features.cat(self.features(media))
        made = dict(kept.features) if kept is not None else {}
        missing = [medium for medium in distinct(media) if medium.key not in made]
        if missing:
            self.vision_passes += len(missing)
            fresh = zip(missing, family_of(self.model).features(self.model, missing), strict=True)
            for medium, features in fresh:
                made[medium.key] = features
                if kept is not None:
                    kept.put_features(medium.key, features)
        return Features.cat([made[medium.key] for medium in media])


def _last(positions: torch.Tensor) -> torch.Tensor:
    """Position of the last token of left-padded rows; with three axes the largest, from which text goes on."""
    if positions.dim() == 2:
        return positions[:, -1:]
    return positions.amax(dim=(0, 2)).view(1, -1, 1).expand(len(positions), -1, 1)


def _layers(cache: DynamicCache) -> Layers:
    layers = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
        layers.append((layer.keys, layer.values))
    return layers


def _portions(sizes: Sequence[int]) -> list[list[int]]:
    """Indices in portions of at most AT_ONCE tokens; a larger one stands alone."""
    out: list[list[int]] = []
    held = 0
    for index, size in enumerate(sizes):
        if not out or held + size > AT_ONCE:
            out.append([])
            held = 0
        out[-1].append(index)
        held += size
    return out
