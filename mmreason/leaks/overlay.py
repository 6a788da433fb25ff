"""Two small pictures laid on each other: how well their edges agree, allowing for a slight crop, and their colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]
Window = tuple[float, float, float, float]
"""What is cut off at left, top, right and bottom, as shares of the side."""

SIDE = 64
"""Side of the thumbnail that is kept of each picture: 12 KiB in RGB."""
COARSE = 32
"""Side at which pictures are compared."""
WHOLE: Window = (0.0, 0.0, 0.0, 0.0)
VIEWS: tuple[Window, ...] = (
    WHOLE,
    (0.025, 0.025, 0.025, 0.025),
    (0.05, 0.05, 0.05, 0.05),
    (0.05, 0.0, 0.0, 0.0),
    (0.0, 0.05, 0.0, 0.0),
    (0.0, 0.0, 0.05, 0.0),
    (0.0, 0.0, 0.0, 0.05),
)
"""Crops of a picture that are looked at beside the whole."""
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
PATCHES = 8
MAX_HUE = 30.0
"""Difference of colour of the same part, of 255, above which two drawings differ in colour: copies stay under 24."""
MAX_CROP = 0.1
STEPS = (0.02, 0.01, 0.005)


def view(small: Image.Image, window: Window, side: int = COARSE) -> Floats:
    """(side, side) or (side, side, 3) values of a part of a thumbnail."""
    left, top, right, bottom = window
    box = (SIDE * left, SIDE * top, SIDE * (1 - right), SIDE * (1 - bottom))
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR, box=box), dtype=np.float32)


def edges_of(values: Floats) -> Floats:
    """Differences to the right and downwards as one unit vector; zeros for a blank picture."""
    across = values[:-1, 1:] - values[:-1, :-1]
    down = values[1:, :-1] - values[:-1, :-1]
    found = np.concatenate([across.ravel(), down.ravel()])
    length = float(np.sqrt(found @ found))
    return (found / length if length > 0 else found).astype(np.float32)


def _lay(outer: Image.Image, inner: Image.Image) -> tuple[float, Window]:
    """The best correlation of `inner`'s edges with those of a window of `outer`: coordinate descent from VIEWS."""
    target = edges_of(view(inner, WHOLE))

    def fit(window: Window) -> float:
        return float(edges_of(view(outer, window)) @ target)

    best, window = max((fit(cut), cut) for cut in VIEWS)
    for step in STEPS:
        best, window = _descend(fit, best, window, step)
    return best, window


def _descend(fit: Callable[[Window], float], best: float, window: Window, step: float) -> tuple[float, Window]:
    moved = True
    while moved:
        moved = False
        for side in range(4):
            for move in (step, -step):
                cut = min(max(window[side] + move, 0.0), MAX_CROP)
                tried: Any = (*window[:side], cut, *window[side + 1 :])
                value = fit(tried)
                if value > best + 1e-4:
                    best, window, moved = value, tried, True
    return best, window


def hue_gap(outer: Image.Image, inner: Image.Image, window: Window) -> float:
    """The largest difference of colour, brightness aside, of any of PATCHES x PATCHES parts: of 255."""
    shown = [view(picture.convert("RGB"), cut) for picture, cut in ((outer, window), (inner, WHOLE))]
    hues = [values - (values @ LUMA)[..., None] for values in shown]
    step = COARSE // PATCHES
    means = [hue.reshape(PATCHES, step, PATCHES, step, 3).mean(axis=(1, 3)) for hue in hues]
    return float(np.abs(means[0] - means[1]).max())


def correlation(a: Image.Image, b: Image.Image) -> float:
    """Correlation of the edges of two thumbnails, whichever is the crop of the other; 0 where their colours differ."""
    mode = a.mode if a.mode == b.mode else "L"
    ways = [(*_lay(outer.convert(mode), inner.convert(mode)), outer, inner) for outer, inner in ((a, b), (b, a))]
    best, window, outer, inner = max(ways, key=lambda way: way[0])
    coloured = "RGB" in (a.mode, b.mode)
    return 0.0 if coloured and hue_gap(outer, inner, window) > MAX_HUE else best
