"""Keys and values of contexts held once for all their answers, with a short tail for what each answer wrote.

Axes: R contexts, N rows, m most rows of a context, K key/value heads, H heads, L context tokens, E head size.

A batch that repeats a prompt's cache copies it for every token and every answer, because the cache is one tensor that
grows. Here a row's query meets its context's keys, together with the queries of the other rows of that context, and its
own tail; the two results are merged by their log-sum-exp, which is exact.
"""

from __future__ import annotations

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from mmreason.groups.attention import attention_with_lse

ROOM = 64
"""Tokens by which a tail grows."""


class SharedCache:
    """What `n` answers to each of R contexts have in their caches. One token is added to every row at a time."""

    def __init__(self, cache: DynamicCache, attention: torch.Tensor, n: int) -> None:
        self.contexts: list[tuple[torch.Tensor, torch.Tensor]] = []  # each [R, K, L, E]
        for layer in cache.layers:
            assert isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None
            self.contexts.append((layer.keys, layer.values))
        self.rows = torch.arange(len(attention), device=attention.device).repeat_interleave(n)
        self.tails: list[tuple[torch.Tensor, torch.Tensor]] = []  # each [N, K, room, E]
        self.length = 0
        self.mask: torch.Tensor | None = None
        if not attention.all():
            hidden = torch.zeros(attention.shape, dtype=self.contexts[0][0].dtype, device=attention.device)
            self.mask = hidden.masked_fill(~attention, -torch.inf)[:, None, None]  # [R, 1, 1, L]
        self._place()

    def take(self, index: torch.Tensor) -> None:
        """Keep the rows `index`."""
        self.rows = self.rows[index]
        self.tails = [(keys[index], values[index]) for keys, values in self.tails]
        self._place()

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention of one new token a row, query [N, H, 1, E], over its context, its tail and itself; [N, H, 1, E]."""
        if layer == 0:
            self.length += 1
        own, own_lse = attention_with_lse(query, *self._put(layer, key, value), scale)
        keys, values = self.contexts[layer]
        lead = query.new_zeros(len(keys), self.widest, *query.shape[1::2])  # [R, m, H, E]
        lead[self.rows, self.place] = query[:, :, 0]
        mask = None if self.mask is None else self.mask.expand(-1, -1, self.widest, -1)
        out, lse = attention_with_lse(lead.transpose(1, 2), keys, values, scale, mask)
        out = out.transpose(1, 2)[self.rows, self.place].unsqueeze(2)
        lse = lse.transpose(1, 2)[self.rows, self.place].unsqueeze(2)
        both = torch.logaddexp(own_lse, lse)
        merged = own * (own_lse - both).exp().unsqueeze(-1) + out * (lse - both).exp().unsqueeze(-1)
        return merged.to(query.dtype)

    def _put(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a token to the layer's tail; keys and values so far, [N, K, length, E]."""
        if layer == len(self.tails):
            room = (*key.shape[:2], ROOM, key.shape[3])
            self.tails.append((key.new_empty(room), value.new_empty(room)))
        keys, values = self.tails[layer]
        if self.length > keys.shape[2]:
            keys, values = (torch.cat([t, t.new_empty(t.shape)], dim=2) for t in (keys, values))
            self.tails[layer] = keys, values
        keys[:, :, self.length - 1], values[:, :, self.length - 1] = key[:, :, 0], value[:, :, 0]
        return keys[:, :, : self.length], values[:, :, : self.length]

    def _place(self) -> None:
        """Each row's number among those of its context."""
        same = self.rows[:, None] == self.rows
        self.place = same.tril(-1).sum(1)
        self.widest = int(self.place.max()) + 1 if len(self.rows) else 0
