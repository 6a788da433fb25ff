"""Real clips for tests outside this folder; needs PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np


def encode_noise(path: Path, seed: int, frames: int = 24, fps: int = 8) -> None:
    """H.264 of 64 x 48 pixels in blocks of 8, unlike any other seed's."""
    import av

    generator = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            picture = np.repeat(np.repeat(generator.integers(0, 256, (6, 8, 3), np.uint8), 8, 0), 8, 1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
