"""Glyphs that stand for things in a picture base, and the retriever that finds a picture among them.

A glyph is 5 x 5 fields, each dark or light, by the hash of a name. The picture in a question is the same glyph in
another brightness and with noise, so that it is found by likeness and not by its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmreason.media.made import keep_made
from mmreason.retrieval.passages import Hit, Passage, as_hits, check_k

FIELDS = 5
SIDE = 16
"""Pixels a side at which pictures are compared."""
_NOISE = 24.0
Vector = npt.NDArray[np.float32]


def pattern(name: str) -> npt.NDArray[np.bool_]:
    """The fields of a glyph [5, 5]."""
    digest = hashlib.sha256(f"glyph:{name}".encode()).digest()
    return np.unpackbits(np.frombuffer(digest[:4], np.uint8))[: FIELDS * FIELDS].reshape(FIELDS, FIELDS).astype(bool)


def draw(name: str, variant: int | None, size: int) -> Image.Image:
    """The glyph, "L", `size` pixels a side; None: as the base holds it, else as a question shows it."""
    fields = np.asarray(Image.fromarray(pattern(name)).resize((size, size), Image.Resampling.NEAREST))
    dark, light, noise = 20.0, 230.0, np.zeros((size, size))
    if variant is not None:
        seed = hashlib.sha256(f"{name}:{variant}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(seed[:8], "big"))
        dark, light = rng.uniform(10, 70), rng.uniform(160, 240)
        noise = rng.normal(0, _NOISE, (size, size))
    return Image.fromarray(np.clip(np.where(fields, dark, light) + noise, 0, 255).astype(np.uint8))


def keep(name: str, variant: int, size: int, path: Path) -> None:
    """Write a question's picture as PNG unless it is there and whole."""
    keep_made(path, f"{name} {variant} {size}", lambda beside: draw(name, variant, size).save(beside, "PNG"))


def vector(picture: Image.Image) -> Vector:
    """A picture as a unit vector [SIDE * SIDE] of greys around their mean."""
    small = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32).ravel()
    centred = small - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), dtype=np.float32)


class PictureBase:
    """Finds passages by the likeness of their glyph to a picture: cosine of greys."""

    def __init__(self, passages: Sequence[Passage], names: Sequence[str]) -> None:
        """`names`: the glyph of each passage."""
        self.passages = tuple(passages)
        self._vectors = np.stack([vector(draw(name, None, 4 * SIDE)) for name in names])  # [N, SIDE * SIDE]

    def search(self, pictures: Sequence[Image.Image | None], k: int) -> list[list[Hit]]:
        """At most `k` hits for each picture, best first; none without a picture."""
        check_k(k)
        return [[] if picture is None else self._find(vector(picture), k) for picture in pictures]

    def _find(self, wanted: Vector, k: int) -> list[Hit]:
        scores = self._vectors @ wanted
        best = np.argsort(-scores, kind="stable")[:k]
        return as_hits([(self.passages[place], float(scores[place])) for place in best])
