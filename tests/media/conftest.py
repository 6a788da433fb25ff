"""Clips in which every frame carries its own number, as twelve stripes of black and white."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

BITS = 12
HEIGHT, WIDTH = 48, BITS * 16
TICK = Fraction(1, 90_000)

Make = Callable[..., Path]


def picture_of(number: int) -> np.ndarray:
    """uint8 [48, 192, 3]; the top half of the first stripe is red, so that turns and colour show."""
    bits = [number >> place & 1 for place in range(BITS)]
    picture = np.repeat(np.array(bits, np.uint8) * 255, 16)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    picture[: HEIGHT // 2, :16] = (255, 0, 0)
    return picture


@pytest.fixture
def clip(tmp_path: Path) -> Make:
    """`clip(name, count, fps)` encodes numbered frames; see the keywords."""
    av = pytest.importorskip("av", reason="clips are made with PyAV")

    def make(
        name: str,
        count: int,
        fps: Fraction | float = 25,
        codec: str = "libx264",
        times: Sequence[float] | None = None,
        turn: int = 0,
        options: dict[str, str] | None = None,
        container: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        rate = Fraction(fps).limit_denominator(1001)
        with av.open(str(path), "w", options=container or {}) as out:
            stream = out.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.gop_size = WIDTH, HEIGHT, 12
            stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            if turn:
                stream.set_display_rotation(turn)
            if times is not None:
                stream.time_base = stream.codec_context.time_base = TICK
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(picture_of(number), format="rgb24")
                if times is not None:
                    frame.pts, frame.time_base = round(times[number] / TICK), TICK
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return path

    return make
