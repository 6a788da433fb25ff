"""Attention of new tokens of several answers, laid end to end, over their prompts, their earlier tokens and themselves.

Axes: U new tokens of all answers, H heads, K key/value heads, T earlier tokens of an answer, E head size.

Nothing is padded and no mask is made: an answer's new tokens meet themselves (causal), what the answer had before, and,
together with the other answers to the same prompt, the prompt's keys, of which there is one copy. The partial results
are merged by their log-sum-exp, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, groupby

import torch

from mmreason.groups.attention import Partial, attention_with_lse, merged
from mmreason.rollout.contexts import Layers, Row


class Appended:
    """`widths`[n] new tokens behind each row, in one sequence; `layers` takes up their keys and values."""

    def __init__(self, rows: Sequence[Row], widths: Sequence[int]) -> None:
        ends = list(accumulate(widths))
        self.rows = rows
        self.spans = [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]
        self.layers: Layers = []  # each [1, K, U, E]
        self._pads = {id(row.block): row.block.pads for row in rows}

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention [1, H, U, E] of query [1, H, U, E] with its own key and value [1, K, U, E]."""
        self.layers.append((key, value))
        own = [self._own(layer, row, span, query, key, value, scale) for row, span in self._each()]
        parts, start = [], 0
        for (_, index), same in groupby(self.rows, lambda row: (id(row.block), row.index)):
            members = list(same)
            end = start + len(members)
            span = slice(self.spans[start].start, self.spans[end - 1].stop)
            outs, sums = zip(*own[start:end], strict=True)
            pad, (keys, values) = self._pads[id(members[0].block)][index], members[0].block.layers[layer]
            held = keys[index : index + 1, :, pad:], values[index : index + 1, :, pad:]
            over = attention_with_lse(query[:, :, span], *held, scale)
            parts.append(merged((torch.cat(outs, 2), torch.cat(sums, 2)), over)[0])
            start = end
        return torch.cat(parts, dim=2).to(query.dtype)

    def grown(self) -> list[Layers]:
        """Keys and values of each row with those of its new tokens behind them."""
        grown: list[Layers] = []
        for row, span in self._each():
            new = [(keys[0, :, span], values[0, :, span]) for keys, values in self.layers]
            pairs = zip(row.layers or [(k[:, :0], v[:, :0]) for k, v in new], new, strict=True)
            grown.append([(torch.cat([k, more_k], 1), torch.cat([v, more_v], 1)) for (k, v), (more_k, more_v) in pairs])
        return grown

    def _each(self) -> list[tuple[Row, slice]]:
        return list(zip(self.rows, self.spans, strict=True))

    def _own(
        self,
        layer: int,
        row: Row,
        span: slice,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> Partial:
        """A row's new tokens over themselves and its earlier ones."""
        lead = query[:, :, span]
        made = attention_with_lse(lead, key[:, :, span], value[:, :, span], scale, causal=True)
        if not row.ids:
            return made
        keys, values = row.layers[layer]
        return merged(made, attention_with_lse(lead, keys[None], values[None], scale))
