"""The picture of a made-up scan, and the file that holds it.

The ground tells the kind of picture by a texture that repeats in every zone: smooth with a bright rim (CT), upright
stripes (MRI), broad ribs across (radiograph), speckle (ultrasound). The body's outline tells the part. A lesion lies in
the middle of its zone, so that with zones of 28 pixels nothing to be recognised crosses a merged patch. A rule over the
picture tells rows and columns by its grey: to a model whose positions are all relative, nine alike zones have no names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mmreason.media.made import Points, keep_made, stencil
from mmreason.project import load_module

world = load_module(Path(__file__).parent / "scans_world.py")

Greys = npt.NDArray[np.float32]
OUTSIDE = 6
"""Grey beside the body."""
TEXTURE = 12
"""How far the texture departs from the body's mean grey; lesions depart by 64 and more."""
RULE = (8, 165, 245)
"""Grey of the line above each row of zones, and of the one left of each column."""
_CORNERS = {"head": 0.32, "chest": 0.06, "abdomen": 0.18}
"""Radius of the body's corners in shares of the picture's side."""
_OUTLINES: dict[str, Points] = {
    "block": ((0.08, 0.08), (0.92, 0.08), (0.92, 0.92), (0.08, 0.92)),
    "wedge": ((0, 1), (1, 1), (0.5, 0)),
    "cross": (
        *((0.34, 0), (0.66, 0), (0.66, 0.34), (1, 0.34), (1, 0.66), (0.66, 0.66)),
        *((0.66, 1), (0.34, 1), (0.34, 0.66), (0, 0.66), (0, 0.34), (0.34, 0.34)),
    ),
    "band": ((0, 0.32), (1, 0.32), (1, 0.68), (0, 0.68)),
}
_HOLES: dict[str, tuple[float, ...]] = {"ring": (0.3, 0.3, 0.7, 0.7)}
"""Of discs, which have no outline."""


def mask(shape: str, side: int) -> Image.Image:
    """A lesion as coverage, "L", `side` pixels a side."""
    return stencil(_OUTLINES.get(shape), _HOLES.get(shape), side)


def texture(modality: str, seed: str, size: int, cell: int) -> Greys:
    """(size, size) departures from the mean grey, TEXTURE at most."""
    along = np.arange(size, dtype=np.float32)
    if modality == "mri":
        return np.broadcast_to(TEXTURE * np.sign(np.sin(2 * np.pi * (along + 0.5) / (cell / 4))), (size, size))
    if modality == "radiograph":
        ribs = TEXTURE * np.sign(np.sin(2 * np.pi * (along + 0.5) / (cell / 2)))
        return np.broadcast_to(ribs[:, None], (size, size))
    if modality == "ultrasound":
        digest = hashlib.sha256(f"{seed}:speckle".encode()).digest()
        speckle = np.random.default_rng(int.from_bytes(digest[:8], "big")).uniform(-TEXTURE, TEXTURE, (size, size))
        return np.asarray(speckle, dtype=np.float32)
    return np.zeros((size, size), dtype=np.float32)


def draw(scene: Any) -> Image.Image:
    """The scan, "L", three zones a side."""
    cell, size = scene.world.cell, 3 * scene.world.cell
    body = Image.new("L", (size, size))
    edges = (1, 1, size - 2, size - 2)
    ImageDraw.Draw(body).rounded_rectangle(edges, radius=_CORNERS[scene.organ] * size, fill=255)
    greys = scene.body + texture(scene.modality, scene.seed, size, cell)
    image = Image.fromarray(np.where(np.asarray(body) > 0, greys, OUTSIDE).round().astype(np.uint8))
    line = max(2, round(cell / 14))  # 2 of 28 pixels stay clear of lesions
    if scene.modality == "ct":  # the rim of bone
        ImageDraw.Draw(image).rounded_rectangle(edges, radius=_CORNERS[scene.organ] * size, outline=180, width=line)
    for place, grey in enumerate(RULE):
        image.paste(grey, (0, place * cell, size, place * cell + line))
        for row in range(3):
            image.paste(grey, (place * cell, row * cell + line, place * cell + line, (row + 1) * cell))
    for lesion in scene.lesions:
        side = round(lesion.side * cell)
        row, column = divmod(lesion.place, 3)
        left, top = (place * cell + (cell - side) // 2 for place in (column, row))
        image.paste(lesion.grey, (left, top), mask(lesion.shape, side))
    return image


def keep(scene: Any, path: Path) -> None:
    """Write the scan as PNG unless its file is there and whole."""
    keep_made(path, scene.digest, lambda beside: draw(scene).save(beside, "PNG"))
