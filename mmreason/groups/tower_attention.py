"""Attention of a vision tower over many pictures at once.

transformers calls SDPA once for each picture or window of a batch: 24 rows of 16 small frames are 384 calls a layer.
Here all pieces of one length are one call; each still attends to itself alone.

Axes: H heads, S tokens of all pieces, B pieces of one length L, E head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from mmreason.models.families import plain

NAME = "mmreason_flash_pieces"
"""Holds "flash" so that the towers of transformers say where pieces begin, in place of cutting them apart."""


def attend_pieces(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, starts: torch.Tensor, scale: float | None = None
) -> torch.Tensor:
    """[1, H, S, E] of each piece attending to itself; `starts` int [pieces + 1]: where they begin, and S last."""
    lengths = starts[1:] - starts[:-1]
    made, places = [], []
    for size in lengths.unique().tolist():
        where = starts[:-1][lengths == size][:, None] + torch.arange(size, device=starts.device)  # [B, L]
        q, k, v = (held[0][:, where].transpose(0, 1) for held in (query, key, value))  # [B, H, L, E]
        made.append(scaled_dot_product_attention(q, k, v, scale=scale).transpose(0, 1).flatten(1, 2))
        places.append(where.flatten())
    return torch.cat(made, 1)[:, torch.cat(places).argsort()][None]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls."""
    assert cu_seq_lens_q is not None
    return attend_pieces(query, key, value, cu_seq_lens_q, scaling).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)


def use_piece_attention(model: PreTrainedModel) -> None:
    """Let the vision tower, where there is one, attend to all pictures in one call."""
    tower = getattr(plain(model).model, "visual", None)
    if tower is not None:
        tower.config._attn_implementation = NAME
