"""The pictures of a made-up clip, and the file that holds them."""

from __future__ import annotations

import functools
import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mmreason.errors import require
from mmreason.media.made import Points, keep_made, stencil
from mmreason.project import load_module

world = load_module(Path(__file__).parent / "scenes_world.py")

BORDER = 1 / 8
"""Thickness of a border in shares of the picture's side: 14 of 112 pixels, so that 3 of 28 stay strong."""
SHAPE = 9 / 14
"""Side of a flashing shape: 72 of 112 pixels; a tiny tower learns them in half the steps that 56 take."""
_OUTLINES: dict[str, Points] = {
    "triangle": ((0, 1), (1, 1), (0.5, 0)),
    "cross": (
        *((0.36, 0), (0.64, 0), (0.64, 0.36), (1, 0.36), (1, 0.64), (0.64, 0.64)),
        *((0.64, 1), (0.36, 1), (0.36, 0.64), (0, 0.64), (0, 0.36), (0.36, 0.36)),
    ),
    "square": ((0.14, 0.14), (0.86, 0.14), (0.86, 0.86), (0.14, 0.86)),
    "bar": ((0, 0.34), (1, 0.34), (1, 0.66), (0, 0.66)),
}
_HOLES: dict[str, tuple[float, ...]] = {"ring": (0.24, 0.24, 0.76, 0.76)}
"""Of discs, which have no outline."""
_CODING = {"preset": "veryfast", "crf": "18", "bf": "0"}
_KEY_DISTANCE = 32
"""Frames between key frames: what is decoded to reach one frame, against the file's size."""


def mask(shape: str, side: int) -> Image.Image:
    """A shape as coverage, "L", `side` pixels a side."""
    return stencil(_OUTLINES.get(shape), _HOLES.get(shape), side)


@functools.lru_cache(maxsize=8)
def _ground(seed: str, mean: tuple[int, int, int], size: int) -> Image.Image:
    """Dark, with soft spots that stay through the clip."""
    digest = hashlib.sha256(seed.encode()).digest()
    spots = np.frombuffer(digest[:25], np.uint8).reshape(5, 5, 1) % 24
    coarse = (np.array(mean) + spots).astype(np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def _drifted(speck: Any, index: int, size: int, side: int) -> tuple[int, int]:
    """Left and top of a speck, which bounces between the edges of the part that no border covers."""
    thick = round(BORDER * size)
    room = size - 2 * thick - side
    ways = (start + speed * index for start, speed in zip(speck.start, speck.speed, strict=True))
    left, top = (thick + round(room * (1 - abs(1 - way % 2))) for way in ways)
    return left, top


def draw(scene: Any, index: int) -> Image.Image:
    """One frame, RGB, `size` pixels a side."""
    size = scene.world.size
    image = _ground(scene.seed, scene.ground, size).copy()
    for speck in scene.specks:
        side = round(speck.side * size)
        image.paste((speck.grey,) * 3, _drifted(speck, index, size, side), mask(speck.shape, side))
    event = scene.event_at(index)
    if event is None:
        return image
    edges, colour = (0, 0, size - 1, size - 1), world.COLOURS[event.colour]
    ImageDraw.Draw(image).rectangle(edges, outline=colour, width=round(BORDER * size))
    place = event.place(index, scene.world.flash)
    if place is not None:
        side = round(SHAPE * size)
        left, top = (round((size - side) / 2 + offset * world.REACH * size) for offset in place)
        image.paste((scene.white,) * 3, (left, top), mask(event.shape, side))
    return image


def encode(scene: Any, path: Path) -> None:
    """Write the clip as H.264 in MP4; equal bytes for equal scenes on one machine."""
    require("av", "video", "write clips")
    import av

    size = scene.world.size
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=Fraction(scene.world.fps), options=_CODING)
        stream.width = stream.height = size
        stream.pix_fmt, stream.gop_size = "yuv420p", _KEY_DISTANCE
        stream.codec_context.thread_count = 1  # bytes depend on the number of threads
        for index in range(scene.world.frames):
            out.mux(stream.encode(av.VideoFrame.from_image(draw(scene, index))))
        out.mux(stream.encode())


def keep(scene: Any, path: Path) -> None:
    """Encode the clip unless its file is there and whole."""
    keep_made(path, scene.digest, functools.partial(encode, scene))
