"""What generated sets share: smooth shapes, and files that are made once."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

Points = tuple[tuple[float, float], ...]
_FINE = 4
"""Shapes are drawn this much larger and shrunk, which smooths their edges."""


@functools.lru_cache(maxsize=512)
def stencil(outline: Points | None, hole: tuple[float, ...] | None, side: int) -> Image.Image:
    """A shape as coverage, "L", `side` pixels a side: a polygon, or without `outline` a disc, from which the ellipse in
    the box `hole` (left, top, right, bottom) is cut. Coordinates are shares of the side."""
    edge = side * _FINE
    drawn = Image.new("L", (edge, edge))
    pen = ImageDraw.Draw(drawn)
    if outline is not None:
        pen.polygon([(x * (edge - 1), y * (edge - 1)) for x, y in outline], fill=255)
    else:
        pen.ellipse((0, 0, edge - 1, edge - 1), fill=255)
        if hole is not None:
            pen.ellipse([share * (edge - 1) for share in hole], fill=0)
    return drawn.resize((side, side), Image.Resampling.BOX)


def keep_made(path: Path, digest: str, make: Callable[[Path], None]) -> None:
    """Let `make` write the file unless it is there, whole and of the same `digest`, as the line beside it tells."""
    line = path.with_suffix(".txt")
    if path.is_file() and line.is_file() and line.read_text() == _line(path, digest):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    make(beside)
    beside.replace(path)  # no fsync: a file cut by a crash does not match its line
    line.write_text(_line(path, digest))


def _line(path: Path, digest: str) -> str:
    return f"{digest} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
