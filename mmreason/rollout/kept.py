"""What a game keeps between its turns: prompts, answers so far, and what the tower made of their pictures.

Found again by content, so whatever was not kept is forwarded anew and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import torch

from mmreason.models.codec import Encoded
from mmreason.models.families import Features
from mmreason.rollout.contexts import Block, Row, num_bytes
from mmreason.rollout.engine import Request

Key = tuple[tuple[int, ...], tuple[str, ...]]
"""Ids and media of a prompt."""


def key_of(prompt: Encoded) -> Key:
    """Equal for prompts with equal ids and pictures."""
    return tuple(prompt.ids), tuple(medium.key for medium in prompt.media)


class Kept:
    """Prompts and rows that the next call may go on from, of at most `limit` bytes; what comes later is not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.prompts: dict[Key, tuple[Block, int]] = {}
        self.features: dict[str, Features] = {}
        self._rows: dict[Key, list[Row]] = {}
        self._next: dict[Key, list[Row]] = {}
        self._free = limit

    def begin(self, requests: Sequence[Request]) -> None:
        """A call begins: what none of its requests goes on from is dropped."""
        keys = {key_of(request.prompt) for request in requests}
        self.prompts = {key: place for key, place in self.prompts.items() if key in keys}
        self._rows = {key: rows for key, rows in self._next.items() if key in keys}
        self._next = {}
        self._free = self.limit - self.num_bytes()

    def take(self, request: Request) -> Row | None:
        """The row that holds most of what the request has begun; it is given out once."""
        rows, keys = self._rows.get(key_of(request.prompt), []), tuple(medium.key for medium in request.media)
        fitting = [row for row in rows if row.begins(request.begun, keys)]
        if not fitting:
            return None
        best = max(fitting, key=lambda row: len(row.ids))
        rows.remove(best)
        return best

    def put_block(self, keys: Sequence[Key], block: Block) -> None:
        """Keep prompts that were forwarded together, if there is room."""
        if self._claim(num_bytes(block.layers) + block.logits.nbytes):
            self.prompts |= {key: (block, index) for index, key in enumerate(keys)}

    def put_row(self, key: Key, row: Row) -> None:
        """Keep an answer for the next call, if its prompt is kept and there is room."""
        if key in self.prompts and self._claim(num_bytes(row.layers)):
            self._next.setdefault(key, []).append(row)

    def put_features(self, key: str, features: Features) -> None:
        """Keep what the tower made of a picture, if there is room."""
        if self._claim(sum(part.nbytes for part in (features.embeds, *features.deep))):
            self.features[key] = features

    def num_bytes(self) -> int:
        """Memory held now."""
        blocks = {id(block): block for block, _ in self.prompts.values()}
        rows = [row for held in (self._rows, self._next) for group in held.values() for row in group]
        features = [part for held in self.features.values() for part in (held.embeds, *held.deep)]
        return (
            sum(num_bytes(block.layers) + block.logits.nbytes for block in blocks.values())
            + sum(num_bytes(row.layers) for row in rows)
            + sum(part.nbytes for part in features)
        )

    def _claim(self, size: int) -> bool:
        if size > self._free:
            return False
        self._free -= size
        return True


def half_of_free(device: torch.device) -> int:
    """Bytes: half of the memory that the device has free."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(free) // 2
