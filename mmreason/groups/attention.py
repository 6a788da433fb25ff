"""Attention inside token trees: three exact ways for one mask.

Axes: H heads, K key/value heads (grouped-query attention), U packed tokens of one or more trees, E head size.

The mask: token k is visible to token q exactly if k <= q < `visible_until`[k], the end of the subtree of k's node.

- `split` (CPU): for each node two dense kernel calls, tokens of the node among themselves (causal) and tokens of its
  descendants, which are contiguous, on the node (no mask). Partial results are merged by their log-sum-exp, and the
  backward kernel is handed the merged ones, which is exact: softmax gradients need only the final output and
  log-sum-exp. No score is computed that the mask would hide, and no key is copied for a branch.
- `flex` (CUDA): FlexAttention with a block mask.
- `dense`: SDPA with the whole mask written out; the slow twin.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from mmreason.groups.tower_attention import use_piece_attention
from mmreason.groups.tree import Node
from mmreason.models.families import plain

NAME = "mmreason_tree"
Way = Literal["split", "flex", "dense"]
Partial = tuple[torch.Tensor, torch.Tensor]
"""Attention over some of the keys [B, H, L, E], and the log-sum-exp of its scores [B, H, L]."""


class Cached(Protocol):
    """Keys and values that are there already, to which each forward adds."""

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention [N, H, L, E] of new tokens over what they follow and themselves."""
        ...


@dataclass(frozen=True)
class Layout:
    """Nodes of the trees packed into one sequence of `length` tokens."""

    nodes: Sequence[Node]
    length: int
    way: Way
    masks: dict[str, Any] = field(default_factory=dict)

    def visible_until(self, device: torch.device) -> torch.Tensor:
        """int64 [U]: token k is visible to tokens q with k <= q < this."""
        sizes = torch.tensor([node.end - node.start for node in self.nodes])
        return torch.tensor([node.tree_end for node in self.nodes]).repeat_interleave(sizes).to(device)

    def dense_mask(self, device: torch.device) -> torch.Tensor:
        """bool [U, U], query by key; made once."""
        if "dense" not in self.masks:
            index, until = torch.arange(self.length, device=device), self.visible_until(device)
            self.masks["dense"] = (index <= index[:, None]) & (index[:, None] < until)
        mask: torch.Tensor = self.masks["dense"]
        return mask

    def block_mask(self, device: torch.device) -> Any:
        """FlexAttention's block mask; made once."""
        if "flex" not in self.masks:
            from torch.nn.attention.flex_attention import create_block_mask

            until = self.visible_until(device)

            def visible(b: Any, h: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
                return (k <= q) & (q < until[k])

            self.masks["flex"] = create_block_mask(visible, None, None, self.length, self.length, device=str(device))
        return self.masks["flex"]


def way_for(device: torch.device) -> Way:
    """The fast way on a device; where there is none, the whole mask."""
    return {"cuda": "flex", "cpu": "split"}.get(device.type, "dense")  # type: ignore[return-value]


def tree_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float
) -> torch.Tensor:
    """Attention of query [1, H, U, E] over key and value [1, K, U, E] under the tree's mask; [1, H, U, E]."""
    if layout.way == "split":
        out: torch.Tensor = _SplitAttention.apply(query, key, value, layout, scale)  # type: ignore[no-untyped-call]
        return out
    if layout.way == "flex":
        made: torch.Tensor = _flex(query.device.type)(
            query, key, value, block_mask=layout.block_mask(query.device), scale=scale, enable_gqa=True
        )
        return made
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=layout.dense_mask(query.device), scale=scale, enable_gqa=True
    )


@functools.cache
def _flex(device: str) -> Any:
    """Compiled on a GPU, where the uncompiled form would write out all scores."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention


_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attention_with_lse(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
    *,
    causal: bool = False,
) -> Partial:
    """Attention and the log-sum-exp of its scores, [B, H, L, E] and [B, H, L]; no gradient.

    `mask` [B or 1, 1, L, M] is added to the scores; `causal` hides key j from query i < j.
    """
    if query.device.type != "cpu":
        return _written_out(query, key, value, scale, mask, causal)
    out, lse = _forward(query, key, value, attn_mask=mask, is_causal=causal, scale=scale)
    return out, lse


def _written_out(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, mask: torch.Tensor | None, causal: bool
) -> Partial:
    """The same with the scores written out, for devices without a kernel that hands the log-sum-exp on.

    The query heads of one key head stand side by side as its queries, so that no key is copied.
    """
    (b, h, n, e), k = query.shape, key.shape[1]
    wide = torch.promote_types(query.dtype, torch.float32)
    lead = query.reshape(b, k, -1, e)  # [B, K, H/K * L, E]
    scores = (lead @ key.transpose(2, 3)).to(wide).mul_(scale).view(b, k, h // k, n, -1)
    if mask is not None:
        scores += mask.unsqueeze(1)
    if causal:
        scores.masked_fill_(torch.ones(n, key.shape[2], dtype=torch.bool, device=key.device).triu(1), -torch.inf)
    lse = scores.logsumexp(-1)
    weights = (scores - lse.unsqueeze(-1)).exp().to(query.dtype).view(b, k, -1, key.shape[2])
    return (weights @ value).view(b, h, n, e), lse.view(b, h, n)


def merged(one: Partial, other: Partial) -> Partial:
    """Attention over the keys of both, from what each has of its own."""
    both = torch.logaddexp(one[1], other[1])
    parts = [out * (lse - both).exp().unsqueeze(-1) for out, lse in (one, other)]
    return parts[0] + parts[1], both


class _SplitAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float
    ) -> torch.Tensor:
        wide = torch.promote_types(query.dtype, torch.float32)
        out = query.new_empty(query.shape, dtype=wide)
        lse = query.new_empty(query.shape[:-1], dtype=wide)
        for node in layout.nodes:
            own = slice(node.start, node.end)
            part = _forward(query[:, :, own], key[:, :, own], value[:, :, own], is_causal=True, scale=scale)
            out[:, :, own], lse[:, :, own] = part
        for node in layout.nodes:
            if node.tree_end == node.end:
                continue
            own, below = slice(node.start, node.end), slice(node.end, node.tree_end)
            part_out, part_lse = _forward(query[:, :, below], key[:, :, own], value[:, :, own], scale=scale)
            both = torch.logaddexp(lse[:, :, below], part_lse)
            out[:, :, below] *= (lse[:, :, below] - both).exp().unsqueeze(-1)
            out[:, :, below] += part_out * (part_lse - both).exp().unsqueeze(-1)
            lse[:, :, below] = both
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        wide = torch.promote_types(query.dtype, torch.float32)
        dq, dk, dv = (torch.zeros_like(t, dtype=wide) for t in (query, key, value))
        grad = grads[0]
        for node in ctx.layout.nodes:
            own, below = slice(node.start, node.end), slice(node.end, node.tree_end)
            for rows, causal in ((own, True), (below, False)):
                if rows.start == rows.stop:
                    continue
                q, o, g = (t[:, :, rows] for t in (query, out, grad))
                part = _backward(
                    g, q, key[:, :, own], value[:, :, own], o, lse[:, :, rows], 0.0, causal, scale=ctx.scale
                )
                for whole, where, piece in zip((dq, dk, dv), (rows, own, own), part, strict=True):
                    whole[:, :, where] += piece
        return dq.to(query.dtype), dk.to(key.dtype), dv.to(value.dtype), None, None


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    tree: Layout | None = None,
    shared: Cached | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls: attention in a tree or on a shared cache where one is passed along, else plain SDPA."""
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if shared is not None:
        return shared.attend(int(module.layer_idx), query, key, value, scale).transpose(1, 2).contiguous(), None  # type: ignore[arg-type]
    if tree is None:
        made: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return made
    out = tree_attention(query, key, value, tree, scale)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use_tree_attention(model: PreTrainedModel) -> None:
    """Let the decoder take token trees, and the tower many pictures at once; else both go through SDPA as before."""
    plain(model).config.get_text_config()._attn_implementation = NAME
    use_piece_attention(model)
