"""Fingerprints of clips: the same file, and the same scene re-encoded, resized, of another frame rate, or trimmed.

Single frames do not tell two clips of one fixed camera apart, so what *moves* is compared: small grey frames at even
times, less their mean over the part that two clips may share, correlated at every shift of one clip against the other.
A clip in which nothing moves is compared as the one picture that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmreason.leaks.overlay import COARSE, Floats
from mmreason.leaks.pictures import BITS, BLOCK, RADIUS, dct_signs
from mmreason.media.clips import Clip

RATE = 12
"""Frames a second that are kept of a clip up to LONG seconds, 1 KiB each: a copy trimmed between two of them is then at
most a 24th of a second off, which quick hands need."""
LONG = 120.0
LONG_RATE = 3
"""Frames a second of longer clips; RATE is a multiple of it."""
BATCH = 2048
"""Frames asked of the decoder at once."""
MOTION = 16
"""Side of the frames whose changes are correlated."""
SHARED_SECONDS = 2.0
"""The least common part; half of the shorter clip where that is less."""
STILL = 1.5
"""Root mean square of grey values about the mean frame under which nothing moves; re-encoding alone gives less."""
SAME_MOTION = 0.7
"""Correlation of changes from which two clips are one. On the 21 clips that docs/leaks.md names, copies have 0.86 or
more, trimmed pieces of one second 0.73 or more, different clips of one camera at most 0.5."""
SAME_SCENE = 0.9
"""Correlation of the mean frames of the common part that is needed besides, and alone where nothing moves."""
SHIFTS = 8
"""Best shifts that are looked at again with the mean of the common part alone."""


@dataclass(frozen=True, slots=True)
class Print:
    """What is kept of one clip."""

    file: str
    """sha256 of the file."""
    frames: npt.NDArray[np.uint8]
    """(n, COARSE, COARSE) grey."""
    rate: int
    """Frames a second: RATE or LONG_RATE."""
    pixels: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Two clips, by position, that share a part."""

    a: int
    b: int
    how: str
    """"file" or "near"."""
    correlation: float
    note: str = ""


def _small(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(frame).convert("L")
    return np.asarray(picture.resize((COARSE, COARSE), Image.Resampling.BOX), dtype=np.uint8)


def print_of(clip: Clip, file: str) -> Print:
    """Decode the frames nearest to every 1 / rate seconds. Raises UserError for a damaged clip."""
    info = clip.info
    rate = RATE if info.duration <= LONG else LONG_RATE
    wanted = np.arange(0.0, max(float(info.times[-1]), 1 / rate), 1 / rate)
    after = np.searchsorted(info.times, wanted).clip(0, info.frames - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(info.times[before] - wanted) < np.abs(info.times[after] - wanted)
    indices = np.where(nearer, before, after).tolist()
    batches = (indices[start : start + BATCH] for start in range(0, len(indices), BATCH))
    frames = [small for batch in batches for small in clip.reader.read_frames(clip.path, batch, _small)]
    return Print(file, np.stack(frames), rate)


def _motion_frames(frames: npt.NDArray[np.uint8]) -> Floats:
    """(n, MOTION * MOTION) by averaging, each frame less its own brightness: exposure is the camera's, not motion."""
    step = COARSE // MOTION
    blocks = frames.reshape(len(frames), MOTION, step, MOTION, step)
    means = blocks.mean(axis=(2, 4), dtype=np.float32).reshape(len(frames), -1)
    return np.asarray(means - means.mean(axis=1, keepdims=True), dtype=np.float32)


def _correlation(a: Floats, b: Floats) -> float:
    """Of two arrays of one shape; 0 where one of them is zero."""
    lengths = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / lengths if lengths > 0 else 0.0


def _rms(frames: Floats) -> float:
    return float(np.sqrt(np.square(frames - frames.mean(axis=0)).mean()))


def _cut(a: Floats, b: Floats, shift: int) -> tuple[Floats, Floats]:
    """The common part when frame t of `a` is frame t - shift of `b`."""
    start, end = max(shift, 0), min(len(a), len(b) + shift)
    return a[start:end], b[start - shift : end - shift]


def _shifts(a: Floats, b: Floats, least: int) -> npt.NDArray[np.int64]:
    """The SHIFTS best shifts with `least` common frames, by correlation about the clips' own means."""
    left, right = a - a.mean(axis=0), b - b.mean(axis=0)
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    product = np.fft.rfft(left, size, axis=0) * np.conj(np.fft.rfft(right, size, axis=0))
    across = np.fft.irfft(product.sum(axis=1), size)
    shifts = np.arange(least - len(b), len(a) - least + 1)
    energy = [np.concatenate([[0.0], np.cumsum(np.square(part).sum(axis=1))]) for part in (left, right)]
    start, end = np.maximum(shifts, 0), np.minimum(len(a), len(b) + shifts)
    both = (energy[0][end] - energy[0][start]) * (energy[1][end - shifts] - energy[1][start - shifts])
    values = across[shifts % size] / np.sqrt(np.maximum(both, 1e-9))
    return shifts[np.argsort(-values)[:SHIFTS]]


@dataclass(frozen=True, slots=True)
class Part:
    """What two clips share."""

    correlation: float
    starts: tuple[float, float]
    """Seconds into the one and the other."""
    seconds: float


def shared(one: Print, other: Print) -> Part | None:
    """The best common part of two clips, None where no shift is good enough."""
    rate = min(one.rate, other.rate)
    parts = [
        part
        for a, first in _at_rate(one, rate)
        for b, second in _at_rate(other, rate)
        if (part := _common(a, b, rate, first, second)) is not None
    ]
    return max(parts, key=lambda part: part.correlation, default=None)


def _at_rate(one: Print, rate: int) -> list[tuple[Floats, float]]:
    """The clip's motion frames at a lower rate, from each of its first frames on, with the seconds left out."""
    step = one.rate // rate
    return [(_motion_frames(one.frames[phase::step]), phase / one.rate) for phase in range(step)]


def _common(a: Floats, b: Floats, rate: int, first: float, second: float) -> Part | None:
    shorter = min(len(a), len(b))
    if shorter < 2 or (_rms(a) < STILL and _rms(b) < STILL):
        scene = _correlation(a.mean(axis=0), b.mean(axis=0))
        return Part(scene, (first, second), shorter / rate) if scene >= SAME_SCENE else None
    best: Part | None = None
    for shift in _shifts(a, b, max(2, min(int(rate * SHARED_SECONDS), -(-shorter // 2)))).tolist():
        left, right = _cut(a, b, shift)
        value = _same_motion(left, right)
        if value >= SAME_MOTION and (best is None or value > best.correlation):
            starts = (first + max(shift, 0) / rate, second + max(-shift, 0) / rate)
            best = Part(value, starts, len(left) / rate)
    return best


def _same_motion(a: Floats, b: Floats) -> float:
    """Correlation of what moves in two equally long pieces; 0 for another scene and where nothing moves."""
    if _rms(a) < STILL or _rms(b) < STILL or _correlation(a.mean(axis=0), b.mean(axis=0)) < SAME_SCENE:
        return 0.0
    return _correlation(a - a.mean(axis=0), b - b.mean(axis=0))


def _signs(one: Print) -> Floats:
    return np.stack([dct_signs(frame.astype(np.float32)) for frame in one.frames]).astype(np.float32)


def _candidates(prints: Sequence[Print]) -> Iterator[tuple[int, int]]:
    """Pairs of clips, a < b, of which a frame a second of one is within RADIUS of some frame of the other."""
    fine = [_signs(one) for one in prints]
    of_clip = np.repeat(np.arange(len(prints)), [len(signs) for signs in fine])
    pool = np.concatenate(fine)
    found: set[tuple[int, int]] = set()
    for index, signs in enumerate(fine):
        coarse = signs[:: prints[index].rate]
        for start in range(0, len(pool), BLOCK * 16):
            bits = (BITS * BITS - coarse @ pool[start : start + BLOCK * 16].T) / 2
            others = np.unique(of_clip[start : start + BLOCK * 16][(bits <= RADIUS).any(axis=0)])
            found |= {(min(index, int(other)), max(index, int(other))) for other in others if other != index}
    yield from sorted(found)


def alike(prints: Sequence[Print]) -> list[Match]:
    """All pairs of clips that share a part. A file that repeats is compared further by its first."""
    found: list[Match] = []
    first: dict[str, int] = {}
    for index, one in enumerate(prints):
        if first.setdefault(one.file, index) != index:
            found.append(Match(first[one.file], index, "file", 1.0))
    distinct = list(first.values())
    if len(distinct) < 2:
        return found
    for row, column in _candidates([prints[index] for index in distinct]):
        a, b = distinct[row], distinct[column]
        part = shared(prints[a], prints[b])
        if part is not None:
            note = f"{part.seconds:.1f} s from {part.starts[0]:.1f} s of the one, {part.starts[1]:.1f} s of the other"
            found.append(Match(a, b, "near", round(part.correlation, 4), note))
    return found
