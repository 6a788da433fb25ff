"""What every reader of clips gives: frame times and sizes first, then the frames that were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from mmreason.errors import UserError

MAX_FRAMES = 2_000_000
"""Frames of one clip, counted before any is decoded; 18 hours at 30 frames a second."""
MAX_CHOSEN = 4096
"""Frames of one clip that are decoded for one question."""
PROBE_SECONDS = 120.0
"""Wall clock for finding a clip's frame times."""
READ_SECONDS = 600.0
"""Wall clock for decoding the frames wanted of one clip."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ClipInfo:
    """A clip before its pictures are decoded."""

    frames: int
    fps: float
    """Frames a second: what the container says, or what the frame times say where the two disagree."""
    duration: float
    """Seconds from the beginning to the end of the last frame."""
    times: np.ndarray  # float64 [frames]: seconds at which each frame appears
    width: int
    """Pixels, after the rotation that the file asks for."""
    height: int
    first: int = 0
    """Number of the first frame: 0 in files; in a folder the number in the first name, 1 as a rule."""
    constant: bool = field(init=False)
    """Each frame appears within half a frame of index / fps, so seconds become indices by multiplying."""

    def __post_init__(self) -> None:
        drift = np.abs(self.times - np.arange(self.frames) / self.fps).max()
        object.__setattr__(self, "constant", bool(drift < 0.5 / self.fps))

    def to_array(self) -> np.ndarray:
        """All of it as float64 [5 + frames], for `from_array`."""
        return np.concatenate([[self.fps, self.duration, self.width, self.height, self.first], self.times])

    @classmethod
    def from_array(cls, held: np.ndarray) -> ClipInfo:
        """What `to_array` was given."""
        fps, duration, width, height, first = held[:5].tolist()
        return cls(len(held) - 5, fps, duration, held[5:], int(width), int(height), int(first))

    def seconds(self, indices: Sequence[int]) -> list[float]:
        """When frames appear: index / fps for a constant rate, free of the container's rounding."""
        return [index / self.fps if self.constant else float(self.times[index]) for index in indices]


class Reader(Protocol):
    """One way to open clips. A module with these functions is one."""

    def probe(self, path: Path) -> ClipInfo:
        """Times of all frames. Raises UserError for what is no clip, cut, damaged or beyond a limit."""
        ...

    def read_frames(self, path: Path, indices: Sequence[int], take: Callable[[np.ndarray], T]) -> list[T]:
        """`take` of each wanted frame, uint8 RGB [height, width, 3], in the order asked; each is decoded once.

        Raises UserError for an index outside the clip and where a wanted frame cannot be decoded.
        """
        ...

    def version(self) -> str:
        """What decides the pixels of a frame beside the file."""
        ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """Ends work on one file by the clock, in any thread, wherever the work asks."""

    path: Path
    seconds: float
    start: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raises UserError when the time is over."""
        if time.monotonic() - self.start > self.seconds:
            raise UserError(
                f"clip {str(self.path)!r} took over {self.seconds:g} seconds to read; shorten or re-encode it"
            )


def check_indices(path: Path, indices: Sequence[int], frames: int) -> None:
    """Raises UserError for an index outside 0..frames-1 or too many of them."""
    outside = [index for index in indices if not 0 <= index < frames]
    if outside:
        raise UserError(f"clip {str(path)!r} has frames 0 to {frames - 1}, frame {outside[0]} was asked for")
    if len(indices) > MAX_CHOSEN:
        raise UserError(
            f"clip {str(path)!r}: {len(indices)} frames were asked for, at most {MAX_CHOSEN} are decoded; "
            "choose a frame rule with a bound"
        )
