"""Keys and values of contexts held once for all their answers, with a tail for what each answer has of its own.

Axes: R contexts of a block, N rows, m most rows of a context, K key/value heads, H heads, T tail tokens, E head size.

A batch that repeats a prompt's cache copies it for every token and every answer, because the cache is one tensor that
grows. Here a row's query meets its context's keys, together with the queries of the other rows of that context, and its
own tail; the two results are merged by their log-sum-exp, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mmreason.groups.attention import Partial, attention_with_lse, merged
from mmreason.rollout.contexts import Block, Layers, Row

ROOM = 64
"""Tokens by which a tail grows."""


@dataclass(frozen=True, slots=True)
class _Seats:
    """Which rows belong to a block, and where their queries stand among its contexts'."""

    block: Block
    mask: torch.Tensor | None
    rows: torch.Tensor  # int64 [n]: among the N
    context: torch.Tensor  # int64 [n]: among the R
    place: torch.Tensor  # int64 [n]: number among the rows of that context
    widest: int


class SharedCache:
    """What rows have in their caches while they are decoded. One token is added to every row at a time."""

    def __init__(self, rows: Sequence[Row]) -> None:
        device = rows[0].position.device
        blocks = {id(row.block): row.block for row in rows}
        numbers = {name: number for number, name in enumerate(blocks)}
        self.blocks = [(block, block.mask()) for block in blocks.values()]
        self.block = torch.tensor([numbers[id(row.block)] for row in rows], device=device)
        self.context = torch.tensor([row.index for row in rows], device=device)
        self.pads, self.length = _left(rows)
        self.tails = [_tails(rows, layer, self.length) for layer in range(len(rows[0].block.layers))]
        self.mask = self._hidden(device)
        self._seat()

    def take(self, index: torch.Tensor) -> None:
        """Keep the rows `index`."""
        self.block, self.context = self.block[index], self.context[index]
        self.pads = [self.pads[place] for place in index.tolist()]
        self.tails = [(keys[index], values[index]) for keys, values in self.tails]
        self.mask = None if self.mask is None else self.mask[index]
        self._seat()

    def tail(self, row: int) -> Layers:
        """A copy of what a row has of its own, each [K, T, E]."""
        own = slice(self.pads[row], self.length)
        return [(keys[row, :, own].clone(), values[row, :, own].clone()) for keys, values in self.tails]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention of one new token a row, query [N, H, 1, E], over its context, its tail and itself; [N, H, 1, E]."""
        if layer == 0:
            self._grow()
        mask = None if self.mask is None else self.mask[..., : self.length]
        own = attention_with_lse(query, *self._put(layer, key, value), scale, mask)
        over = [_over(seats, layer, query, scale) for seats in self.seats]
        if len(over) == 1:
            return merged(own, over[0])[0].to(query.dtype)
        order = torch.cat([seats.rows for seats in self.seats]).argsort()
        outs, sums = (torch.cat(parts)[order] for parts in zip(*over, strict=True))
        return merged(own, (outs, sums))[0].to(query.dtype)

    def _put(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a token to the layer's tails; keys and values so far, [N, K, T, E]."""
        keys, values = self.tails[layer]
        keys[:, :, self.length - 1], values[:, :, self.length - 1] = key[:, :, 0], value[:, :, 0]
        return keys[:, :, : self.length], values[:, :, : self.length]

    def _grow(self) -> None:
        """Room for one token more."""
        self.length += 1
        if self.length <= self.tails[0][0].shape[2]:
            return
        self.tails = [(_wider(keys, 2), _wider(values, 2)) for keys, values in self.tails]
        self.mask = None if self.mask is None else _wider(self.mask, 3)

    def _hidden(self, device: torch.device) -> torch.Tensor | None:
        """[N, 1, 1, T], added to scores of tails that are padded; None where none is."""
        if not any(self.pads):
            return None
        width, dtype = self.tails[0][0].shape[2], self.tails[0][0].dtype
        padded = torch.arange(width, device=device) < torch.tensor(self.pads, device=device)[:, None]
        return torch.zeros(padded.shape, dtype=dtype, device=device).masked_fill(padded, -torch.inf)[:, None, None]

    def _seat(self) -> None:
        """Group the rows by block and give each a number among those of its context."""
        self.seats = []
        for number, (block, mask) in enumerate(self.blocks):
            rows = (self.block == number).nonzero().squeeze(-1)
            if len(rows) == 0:
                continue
            context = self.context[rows]
            place = (context[:, None] == context).tril(-1).sum(1)
            self.seats.append(_Seats(block, mask, rows, context, place, int(place.max()) + 1))


def _over(seats: _Seats, layer: int, query: torch.Tensor, scale: float) -> Partial:
    """The queries of a block's rows over their contexts, [n, H, 1, E] and [n, H, 1]."""
    keys, values = seats.block.layers[layer]
    lead = query.new_zeros(len(keys), seats.widest, *query.shape[1::2])  # [R, m, H, E]
    lead[seats.context, seats.place] = query[seats.rows, :, 0]
    mask = None if seats.mask is None else seats.mask.expand(-1, -1, seats.widest, -1)
    out, lse = attention_with_lse(lead.transpose(1, 2), keys, values, scale, mask)
    chosen = seats.context, seats.place
    return out.transpose(1, 2)[chosen].unsqueeze(2), lse.transpose(1, 2)[chosen].unsqueeze(2)


def _left(rows: Sequence[Row]) -> tuple[list[int], int]:
    """Columns of padding before each row's own tokens, and the width of all."""
    width = max(len(row.ids) for row in rows)
    return [width - len(row.ids) for row in rows], width


def _tails(rows: Sequence[Row], layer: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What the rows have of their own, [N, K, width and room, E], padded on the left."""
    like = rows[0].block.layers[layer]
    made = tuple(t.new_zeros(len(rows), t.shape[1], width + ROOM, t.shape[3]) for t in like)
    for number, row in enumerate(rows):
        if row.ids:
            for whole, part in zip(made, row.layers[layer], strict=True):
                whole[number, :, width - len(row.ids) : width] = part
    return made[0], made[1]


def _wider(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    """Twice as wide along an axis, with zeros."""
    return torch.cat([tensor, torch.zeros_like(tensor)], dim=axis)
