"""Three-axis positions of Qwen2.5-VL and Qwen3-VL: text counts on all axes, a picture spans time, height and width.

What follows a picture or clip goes on from its largest position on any axis plus one, as in the models' training code
and in vLLM. transformers (5.16 to 5.19) goes on from height and width alone, which for a clip of Qwen2.5-VL that
lasts longer than it is wide puts text before the clip's end; for pictures both agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmreason.errors import UserError
from mmreason.models.medium import Medium


@dataclass(frozen=True, slots=True)
class Rules:
    """What a family's config says about positions."""

    visual_ids: tuple[int, ...]
    """Placeholders of pictures and of clips."""
    merge: int
    tokens_per_second: float = 1.0
    frames_apart: bool = False
    """Each frame pair of a clip stands by itself, between timestamps (Qwen3-VL)."""


def row_positions(ids: np.ndarray, media: Sequence[Medium], rules: Rules) -> np.ndarray:
    """int64 [3, L] of one row without padding. Raises UserError where placeholders and media disagree."""
    visual = np.isin(ids, rules.visual_ids)
    blocks = [block for medium in media for block in _blocks(medium, rules)]
    if int(visual.sum()) != sum(block.shape[1] for block in blocks):
        found = int(visual.sum())
        raise UserError(f"{found} visual tokens, {sum(b.shape[1] for b in blocks)} features of {len(media)} media")
    out = np.empty((3, len(ids)), dtype=np.int64)
    place, following = 0, 0
    for block in blocks:
        start = place + int(np.argmax(visual[place:]))
        following = _text(out, place, start, following)
        place = start + block.shape[1]
        out[:, start:place] = block + following
        following += int(block.max()) + 1
    _text(out, place, len(ids), following)
    return out


def _text(out: np.ndarray, start: int, end: int, following: int) -> int:
    """Count up on all axes over [start, end); the position after it."""
    out[:, start:end] = np.arange(end - start) + following
    return following + end - start


def _blocks(medium: Medium, rules: Rules) -> list[np.ndarray]:
    """Positions from 0 of each run of placeholders that belongs together, [3, tokens]."""
    frames, rows, columns = medium.grid[0], medium.grid[1] // rules.merge, medium.grid[2] // rules.merge
    if medium.kind == "video" and rules.frames_apart:
        return [np.indices((1, rows, columns)).reshape(3, -1)] * frames
    block = np.indices((frames, rows, columns)).reshape(3, -1)
    if medium.kind == "video":
        block[0] = (block[0] * (rules.tokens_per_second * medium.seconds)).astype(np.int64)
    return [block]
