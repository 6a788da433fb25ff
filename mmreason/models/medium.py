"""A picture or clip as tensors, in the order in which its placeholders stand among the ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Medium:
    """Patches of one picture or clip."""

    pixels: torch.Tensor
    """float [patches, patch values]."""
    grid: tuple[int, int, int]
    """Frames (pairs of them), rows and columns of patches."""
    kind: str = "image"
    """"image" or "video"."""
    seconds: float = 1.0
    """Seconds per step of the grid's first axis; clips of Qwen2.5-VL count positions by it."""
    key: str = field(default="")
    """Content hash; equal media are forwarded once. Time counts: it moves positions, which engines keep by key too."""
    stamps: tuple[float, ...] = ()
    """Seconds in the clip of each step of the grid's first axis, for families that write them into the text."""

    def __post_init__(self) -> None:
        if not self.key:
            data = self.pixels.detach().float().contiguous().cpu().numpy().tobytes()
            shape = f"{self.kind}{self.grid}{self.seconds}"
            object.__setattr__(self, "key", hashlib.sha256(shape.encode() + data).hexdigest())

    def num_tokens(self, merge: int) -> int:
        """Placeholders that it stands behind, `merge` x `merge` patches each."""
        frames, rows, columns = self.grid
        return frames * rows * columns // merge**2


def distinct(media: Sequence[Medium]) -> list[Medium]:
    """Each content once, in order of first appearance."""
    return list({medium.key: medium for medium in media}.values())
