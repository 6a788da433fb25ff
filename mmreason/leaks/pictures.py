"""Fingerprints of pictures: equal files, equal pixels, and the same picture re-encoded, resized or slightly cropped.

Two steps, both measured on the 1,314 pictures (radiographs, smears, charts, diagrams) that docs/leaks.md names:
a 64-bit DCT hash of the picture and of slightly cropped views of it finds candidates, and the correlation of the two
pictures' edges, laid on each other as well as a small crop allows, decides. The hash alone does not part two chest
films of different patients from two copies of one film; the edges do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmreason.leaks.overlay import COARSE, LUMA, SIDE, VIEWS, Floats, correlation, edges_of, view

BITS = 8
"""The lowest BITS x BITS frequencies make the hash."""
RADIUS = 10
"""Differing bits up to which two pictures are candidates: keeps 99 % of slight crops, and of different pictures one
pair in 4,000."""
ALIKE = 0.9
"""Correlation of edges from which two candidates are one picture: different radiographs stay under 0.83, copies above
0.9 but for one in a hundred of the crops."""
ROUGH = 16
"""Side at which candidates are compared first, all at once."""
PROMISING = 0.7
"""Correlation of rough edges in the best view from which candidates are laid on each other: copies have 0.77 or more,
and of different pictures with like hashes half are done with."""
TINY = 32
"""Sides up to which a picture has no edges that the rough ones do not show."""
RADIUS_TINY = 6
"""Differing bits up to which two tiny pictures are candidates; copies (see PROMISING_TINY) have at most 4."""
PROMISING_TINY = 0.93
"""The same between two tiny pictures: of 2,698 chest films at 28 x 28 pixels copies have 0.97 or more (re-encoded,
enlarged, one pixel cropped on each side) and 999 in 1,000 of the others with like hashes under 0.92."""
BLOCK = 2048
"""Pictures compared with all others at once: 2,048 x 10,000 distances are 80 MB."""
PAIRS = 512
"""Candidates compared roughly at once, 20 MB a side."""


@dataclass(frozen=True, slots=True)
class Print:
    """What is kept of one picture."""

    file: str
    """sha256 of the file."""
    pixels: str
    """sha256 of size and decoded RGB pixels: equal for lossless copies in any format."""
    small: Image.Image
    """SIDE x SIDE thumbnail, RGB, or L for a picture without colour."""
    hashes: npt.NDArray[np.int8]
    """(views, BITS * BITS) signs."""
    rough: npt.NDArray[np.float16]
    """(views, 2 * (ROUGH - 1)^2, 3) edges of each view in red, green and blue, of length 1; 19 KiB."""
    tiny: bool = False
    """No side is longer than TINY."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two pictures, by position, that are one."""

    a: int
    b: int
    how: str
    """"file", "pixels" or "near"."""
    bits: int
    """Differing bits of the closest two views; 0 for equal files and pixels."""
    correlation: float


def _cosines(side: int) -> Floats:
    place = np.arange(side)
    return np.cos(np.pi * (2 * place[None] + 1) * place[:BITS, None] / (2 * side)).astype(np.float32)


_COSINES = _cosines(COARSE)


def dct_signs(grey: Floats) -> npt.NDArray[np.int8]:
    """(COARSE, COARSE) grey values as BITS * BITS signs: low frequencies above or below their median."""
    low = (_COSINES @ grey @ _COSINES.T).ravel()
    return np.where(low > np.median(low[1:]), 1, -1).astype(np.int8)


def thumbnail(picture: Image.Image) -> Image.Image:
    """SIDE x SIDE, without regard to the proportions; in L where red, green and blue are the same."""
    filter = Image.Resampling.BOX if min(picture.size) >= SIDE else Image.Resampling.BILINEAR
    small = picture.resize((SIDE, SIDE), filter)
    values = np.asarray(small, dtype=np.int16)
    coloured = values.ndim == 3 and np.ptp(values, axis=2).max() > 8
    return small if coloured else small.convert("L")


def print_of(picture: Image.Image, file: str) -> Print:
    """Fingerprint an RGB picture whose file has the sha256 `file`."""
    digest = hashlib.sha256(f"{picture.size}".encode())
    digest.update(picture.tobytes())
    small = thumbnail(picture)
    grey, colour = small.convert("L"), small.convert("RGB")
    hashes = np.stack([dct_signs(view(grey, window)) for window in VIEWS])
    rough = np.stack([edges_of(view(colour, window, ROUGH)) for window in VIEWS])
    edges = rough.reshape(len(VIEWS), -1, 3).astype(np.float16)
    return Print(file, digest.hexdigest(), small, hashes, edges, max(picture.size) <= TINY)


def closest_bits(rows: npt.NDArray[np.int8], others: npt.NDArray[np.int8]) -> Floats:
    """(n, views, 64) and (m, views, 64) signs as (n, m) smallest differences of a whole picture and a view."""
    left, right = rows.astype(np.float32), others.astype(np.float32)
    most = np.full((len(rows), len(others)), -BITS * BITS, dtype=np.float32)
    for part in range(len(VIEWS)):
        np.maximum(most, left[:, 0] @ right[:, part].T, out=most)
        np.maximum(most, left[:, part] @ right[:, 0].T, out=most)
    return np.asarray((BITS * BITS - most) / 2, dtype=np.float32)


def _unit(edges: Floats) -> Floats:
    """Vectors along the last axis at length 1; zeros stay."""
    lengths = np.sqrt(np.square(edges).sum(axis=-1, keepdims=True))
    return np.asarray(np.divide(edges, lengths, out=np.zeros_like(edges), where=lengths > 0), dtype=np.float32)


def _rough(prints: Sequence[Print], pairs: npt.NDArray[np.int64]) -> Floats:
    """(k, 2) pairs as (k,) best correlations of a whole picture and a view; in grey where one of the two is."""
    sides = [np.stack([prints[index].rough for index in column]).astype(np.float32) for column in pairs.T]
    grey = np.array([prints[a].small.mode != prints[b].small.mode for a, b in pairs])
    best = np.zeros(len(pairs), dtype=np.float32)
    for chosen, weigh in ((~grey, None), (grey, LUMA)):
        if chosen.any():
            shown = (side[chosen] if weigh is None else side[chosen] @ weigh for side in sides)
            left, right = (_unit(side.reshape(len(side), len(VIEWS), -1)) for side in shown)
            fits = (np.einsum("kd,kvd->kv", left[:, 0], right), np.einsum("kvd,kd->kv", left, right[:, 0]))
            best[chosen] = np.maximum(*fits).max(axis=1)
    return best


def _candidates(prints: Sequence[Print]) -> Iterator[tuple[int, int, int]]:
    """(a, b, bits), a < b, within RADIUS and roughly alike."""
    hashes, tiny = np.stack([one.hashes for one in prints]), np.array([one.tiny for one in prints])
    for start in range(0, len(hashes), BLOCK):
        bits = closest_bits(hashes[start : start + BLOCK], hashes[start:])
        both = tiny[start : start + BLOCK, None] & tiny[None, start:]
        found = np.argwhere(bits <= np.where(both, RADIUS_TINY, RADIUS))
        found = found[found[:, 0] < found[:, 1]]
        for first in range(0, len(found), PAIRS):
            pairs = found[first : first + PAIRS]
            least = np.where(tiny[pairs + start].all(axis=1), PROMISING_TINY, PROMISING)
            for row, column in pairs[_rough(prints, pairs + start) >= least]:
                yield start + int(row), start + int(column), int(bits[row, column])


def alike(prints: Sequence[Print]) -> list[Likeness]:
    """All pairs that are one picture. A file or set of pixels that repeats is compared further by its first."""
    found: list[Likeness] = []
    first_file: dict[str, int] = {}
    first_pixels: dict[str, int] = {}
    distinct: list[int] = []
    for index, one in enumerate(prints):
        if one.file in first_file:
            found.append(Likeness(first_file[one.file], index, "file", 0, 1.0))
        elif one.pixels in first_pixels:
            found.append(Likeness(first_pixels[one.pixels], index, "pixels", 0, 1.0))
        else:
            distinct.append(index)
        first_file.setdefault(one.file, index)
        first_pixels.setdefault(one.pixels, index)
    if len(distinct) > 1:
        for row, column, bits in _candidates([prints[index] for index in distinct]):
            a, b = distinct[row], distinct[column]
            value = correlation(prints[a].small, prints[b].small)
            if value >= ALIKE:
                found.append(Likeness(a, b, "near", bits, round(value, 4)))
    return found
