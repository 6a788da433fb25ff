"""The second exact way through a tree: level by level on key/value caches that carry gradients.

The prompt is forwarded once; its cache, expanded to the children, serves them as one batch, their caches serve theirs.
Plain batched attention, so it suits kernels that know no tree masks; needs padding within a level, copies the keys of
a node for each child, and cannot be combined with gradient checkpointing, which drops caches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from mmreason.groups.pack import Packed
from mmreason.models.families import Features, family_of, plain


def cached_hidden(model: PreTrainedModel, packed: Packed, features: Features | None) -> torch.Tensor:
    """Last hidden states [U, D] of all packed tokens."""
    visual = torch.full_like(packed.ids, -1)
    if features is not None:
        visual[_is_visual(model, packed.ids)] = packed.feature
    pieces, slots = [], []
    for root in (index for index, node in enumerate(packed.nodes) if node.parent < 0):
        last = next((i for i in range(root + 1, len(packed.nodes)) if packed.nodes[i].parent < 0), len(packed.nodes))
        for hidden, places in _levels(model, packed, visual, features, range(root, last)):
            pieces.append(hidden)
            slots.append(places)
    return torch.cat(pieces)[torch.cat(slots).argsort()]


def _is_visual(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    config = plain(model).config
    visual: torch.Tensor = (ids == config.image_token_id) | (ids == config.video_token_id)
    return visual


def _levels(
    model: PreTrainedModel, packed: Packed, visual: torch.Tensor, features: Features | None, indices: range
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(hidden states of real tokens, their slots) of each level of one tree, the root first."""
    family, cache = family_of(model), DynamicCache(config=plain(model).config.get_text_config())
    level, past, out = [indices.start], None, []
    while level:
        nodes = [packed.nodes[index] for index in level]
        width = max(node.end - node.start for node in nodes)
        step = torch.arange(width, device=packed.ids.device)
        starts = torch.tensor([node.start for node in nodes], device=step.device)
        real = step < torch.tensor([node.end - node.start for node in nodes], device=step.device)[:, None]  # [n, L]
        slots = torch.where(real, starts[:, None] + step, starts[:, None])
        attention = real if past is None else torch.cat([past, real], dim=1)
        inputs = family.embed(model, *_inputs(packed, visual, features, slots, real))
        positions = packed.positions[:, slots]
        hidden = family.decoder(model)(
            **inputs,
            attention_mask=attention,
            position_ids=positions[0] if len(positions) == 1 else positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        out.append((hidden[real], slots[real]))
        children = [(row, child) for row, index in enumerate(level) for child in _children(packed, index, indices)]
        if children:
            rows = torch.tensor([row for row, _ in children], device=step.device)
            cache.batch_select_indices(rows)
            past = attention[rows]
        level = [child for _, child in children]
    return out


def _children(packed: Packed, index: int, indices: range) -> Sequence[int]:
    return [child for child in indices if packed.nodes[child].parent == index - indices.start]


def _inputs(
    packed: Packed, visual: torch.Tensor, features: Features | None, slots: torch.Tensor, real: torch.Tensor
) -> tuple[torch.Tensor, Features | None]:
    """Ids [n, L] and the features of their placeholders in row order; padding repeats the first id as text."""
    ids = packed.ids[slots]
    if features is None:
        return ids, None
    index = visual[slots]
    padding = ~real & (index >= 0)
    ids = ids.masked_fill(padding, 0)
    index = index.masked_fill(~real, -1)
    chosen = index[index >= 0]
    return ids, features.take(chosen) if len(chosen) else None
