"""Sizes of pictures and frames under pixel budgets, and the resize itself.

Source of the rules: qwen-vl-utils 0.0.14. Deviation: where its shrinking can give a side of 0, ours gives one patch.
"""

from __future__ import annotations

import math

import torch

from mmreason.errors import UserError
from mmreason.media import files

VERSION = 2
"""Raised when frames come out of `resize_frames` with other pixels: kept ones of before are then not used."""
MAX_RATIO = files.MAX_RATIO
MIN_FRAME_TOKENS = 128
"""Least size of a frame, in merged patches: smaller clips are enlarged."""
MAX_FRAME_TOKENS = 768
CONTEXT_TOKENS = 128_000
"""Context that the library assumes for the default bound over all frames, of which it takes nine tenths."""


def smart_resize(height: int, width: int, factor: int, min_pixels: int, max_pixels: float) -> tuple[int, int]:
    """Sides as multiples of `factor` near the given ones, with an area between the bounds, ratio roughly kept.

    Raises UserError for bounds that exclude each other and for sides in a ratio beyond 200.
    """
    if min_pixels > max_pixels:
        raise UserError(f"min_pixels {min_pixels} exceeds max_pixels {max_pixels:g}; lower one or raise the other")
    if max(height, width) > MAX_RATIO * min(height, width):
        raise UserError(f"{width} x {height} pixels: sides in a ratio above {MAX_RATIO} cannot be shown; crop it")
    tall, wide = (max(factor, round(side / factor) * factor) for side in (height, width))
    if tall * wide > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        tall, wide = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif tall * wide < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        tall, wide = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return tall, wide


def frame_bounds(
    num_frames: int,
    factor: int,
    min_pixels: int = 0,
    max_pixels: int = 0,
    total_pixels: int = 0,
    own: tuple[int, int] | None = None,
) -> tuple[int, float]:
    """Least and most pixels of one frame of a clip; 0 stands for the library's own bound.

    `total_pixels` is shared out over frame pairs but never pushes a frame below 1.05 times the least: for many frames
    lower `min_pixels` too. A `max_pixels` below the library's least lowers that one. `own` are the bounds of the
    checkpoint's picture processor; they hold where they are narrower than the library's, as in tiny models.
    """
    unit = factor**2
    least, most = MIN_FRAME_TOKENS * unit, MAX_FRAME_TOKENS * unit
    if own and not max_pixels:
        most = min(most, own[1])
        least = least if least <= most else own[0]
    least = min_pixels or min(least, max_pixels or least)
    share = (total_pixels or CONTEXT_TOKENS * unit * 0.9) / (num_frames + num_frames % 2) * 2
    cap = max(min(most, share), int(least * 1.05))
    cap = min(max_pixels, cap) if max_pixels else cap
    if least > cap:
        raise UserError(f"min_pixels {least} exceeds max_pixels {cap:g}; lower one or raise the other")
    return least, cap


def resize_frames(frames: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bicubic with antialiasing, uint8 [..., 3, H, W] -> uint8 [..., 3, height, width].

    On bytes, as transformers' video processors and Pillow do it: first along rows, then along columns, each rounded.
    qwen-vl-utils resizes in floats and rounds once, see docs/media.md.
    """
    if frames.shape[-2:] == (height, width):
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    made = torch.nn.functional.interpolate(flat, size=(height, width), mode="bicubic", antialias=True)
    return made.reshape(*frames.shape[:-2], height, width)


def patchify(frames: torch.Tensor, patch: int, merge: int, temporal: int) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """[T, C, H, W] -> patches [t*h*w, C*temporal*patch*patch] and (t, h, w), as the Qwen-VL processors order them.

    The last frame is repeated where T is no multiple of `temporal`. Patches that merge into one token stand together.
    """
    missing = -len(frames) % temporal
    frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
    count, channels, height, width = frames.shape
    t, h, w = count // temporal, height // patch, width // patch
    blocks = frames.reshape(t, temporal, channels, h // merge, merge, patch, w // merge, merge, patch)
    ordered = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return ordered.reshape(t * h * w, channels * temporal * patch * patch), (t, h, w)
