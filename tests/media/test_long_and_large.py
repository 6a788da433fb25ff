"""An hour at one frame a second, and a frame of 7,680 x 4,320: read by the child process, within its limits."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.media.clips import open_clip
from mmreason.media.files import media_ref
from mmreason.models.visual import Visual

if TYPE_CHECKING:
    from conftest import Make

av = pytest.importorskip("av", reason="clips are read with PyAV")


def number_of(picture: np.ndarray) -> int:
    """See `conftest.picture_of`."""
    return int(sum(1 << place for place, value in enumerate(picture[36, 8::16, 1]) if value > 127))


def test_an_hour(clip: Make, tmp_path: Path) -> None:
    """Frame times are listed and 32 frames of all parts decoded in seconds, where decoding all is not needed."""
    clip("hour.mp4", 3600, 1, options={"preset": "ultrafast"})
    began = time.monotonic()
    opened = open_clip(tmp_path, replace(media_ref(tmp_path, "hour.mp4", "video"), frame_rule="centres:32"))
    assert (opened.info.duration, opened.info.frames) == (3600.0, 3600)
    middles = [round(112.5 * (k + 0.5) - 1e-9) for k in range(32)]
    assert list(opened.chosen.indices) == middles
    assert opened.frames(number_of) == middles
    assert time.monotonic() - began < 30


def test_a_frame_of_8k(tmp_path: Path) -> None:
    """Read whole, kept at the size that the model sees."""
    with av.open(str(tmp_path / "large.mkv"), "w") as out:
        stream = out.add_stream("mjpeg", rate=2)
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuvj420p"
        frame = av.VideoFrame(7680, 4320, "yuvj420p")
        for plane, value in zip(frame.planes, (255, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    visual = Visual(Qwen2VLImageProcessorPil(), tmp_path)
    ref = replace(media_ref(tmp_path, "large.mkv", "video"), frame_rule="all", max_pixels=128 * 784)
    made = visual.medium(ref)
    assert made.grid == (1, 16, 30)  # 224 x 420 pixels
    colours = made.pixels.view(-1, 3, 2 * 14 * 14)
    assert torch.equal(colours, colours[:1, :, :1].expand_as(colours)) and bool((colours > 1.5).all())
