from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from leak_making import row, rows, scene
from PIL import Image, ImageDraw

from mmreason.leaks import clips
from mmreason.leaks.media import compare_media, read_clip
from mmreason.records import MediaRef

av = pytest.importorskip("av", reason="clips are read with PyAV: pip install 'mmreason[video]'")

FPS = 24
Path2 = Callable[[float], tuple[float, float]]


def film(seed: int, seconds: float, path: Path2, fps: int = FPS) -> list[Image.Image]:
    """A dark disc that moves over a fixed scene."""
    frames = []
    for k in range(round(seconds * fps)):
        frame = scene(seed, (160, 120))
        x, y = path(k / fps)
        ImageDraw.Draw(frame).ellipse((x - 16, y - 16, x + 16, y + 16), fill=(10, 10, 30))
        frames.append(frame)
    return frames


def across(t: float) -> tuple[float, float]:
    return 20 + 28 * t, 60 + 35 * np.sin(3 * t)


def round_about(t: float) -> tuple[float, float]:
    return 80 + 45 * np.cos(2 * t), 60 + 40 * np.sin(2 * t)


def write(path: Path, frames: list[Image.Image], fps: int = FPS, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip, five copies of it, and four clips that share its scene or its motion."""
    root = tmp_path_factory.mktemp("clips")
    original = film(1, 5, across)
    small = [frame.resize((80, 60)) for frame in original]
    write(root / "original.mp4", original)
    (root / "same.mp4").write_bytes((root / "original.mp4").read_bytes())
    write(root / "small.mkv", small)
    write(root / "trimmed.mp4", original[37:91])
    write(root / "slower_rate.mp4", original[::2], fps=FPS // 2)
    (root / "frames").mkdir()
    for k, frame in enumerate(original[::3], start=1):
        frame.save(root / "frames" / f"{k:05d}.jpg", quality=85)
    write(root / "other_motion.mp4", film(1, 5, round_about))
    write(root / "other_scene.mp4", film(2, 5, across))
    write(root / "still.mp4", film(1, 2, lambda t: (40, 60)))
    write(root / "other_still.mp4", film(3, 2, lambda t: (40, 60)))
    return root


COPIES = {"original.mp4", "same.mp4", "small.mkv", "trimmed.mp4", "slower_rate.mp4", "frames"}
OTHERS = {"other_motion.mp4", "other_scene.mp4", "still.mp4", "other_still.mp4"}


def test_copies_are_one_clip_and_others_are_not(folder: Path) -> None:
    samples = [row(name, "what moves?", "a disc", name, media="video") for name in sorted(COPIES | OTHERS)]
    named = [
        replace(s, media=(replace(s.media[0], fps=FPS / 3),)) if s.media[0].path == "frames" else s for s in samples
    ]
    compared = compare_media([rows("clips", folder, *named)])
    assert compared.faults == {}
    shown = {s.id: s.media[0].sha256 for s in compared.sets[0].samples}
    assert len({shown[name] for name in COPIES}) == 1
    assert len({shown[name] for name in OTHERS | {"original.mp4"}}) == len(OTHERS) + 1
    assert {pair.how for pair in compared.alike if {"original.mp4", "same.mp4"} == {pair.a[1], pair.b[1]}} == {"file"}
    note = next(p.note for p in compared.alike if {"original.mp4", "trimmed.mp4"} == {p.a[1], p.b[1]})
    assert note == "2.2 s from 1.5 s of the one, 0.0 s of the other"  # 54 frames from frame 37 at 24 a second


def still_frames(seed: int, count: int, rate: int) -> clips.Print:
    one = np.asarray(scene(seed, (32, 32)).convert("L"))
    return clips.Print(str(seed), np.repeat(one[None], count, axis=0), rate)


def test_stills_are_compared_as_the_picture_they_are() -> None:
    assert clips.shared(still_frames(1, 24, 12), still_frames(1, 36, 12)) is not None
    assert clips.shared(still_frames(1, 24, 12), still_frames(2, 24, 12)) is None


def moving(seconds: float, rate: int, start: float = 0.0) -> clips.Print:
    """Frames of a long clip by formula: a bright spot on a line, at times `start` + k / rate."""
    ys, xs = np.mgrid[:32, :32]
    frames = []
    for t in start + np.arange(round(seconds * rate)) / rate:
        x, y = 16 + 10 * np.sin(0.31 * t + np.sin(0.05 * t)), 16 + 10 * np.cos(0.23 * t)
        frames.append(100 + 100 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 20))
    return clips.Print(f"{seconds}{rate}{start}", np.stack(frames).astype(np.uint8), rate)


def test_a_short_piece_is_found_in_a_long_clip_of_a_lower_rate() -> None:
    part = clips.shared(moving(600, clips.LONG_RATE), moving(20, clips.RATE, start=317.25))
    assert part is not None and part.correlation > 0.99
    assert part.starts[0] - part.starts[1] == pytest.approx(317.25, abs=0.17)
    assert part.seconds == pytest.approx(20, abs=0.5)


def test_a_missing_clip_and_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no clip")
    samples = [row(name, "q", "a", name, media="video") for name in ("text.mp4", "gone.mp4")]
    compared = compare_media([rows("clips", tmp_path, *samples)])
    assert {path for _, path in compared.faults} == {"text.mp4", "gone.mp4"}


@pytest.mark.slow
def test_the_real_clips_against_each_other(real_data: Path) -> None:
    """21 clips, 16 of them of one person in one room. Two signs, both a fist beside the head, are taken for one."""
    names = [f"annotated_clips/videos/{path.name}" for path in (real_data / "annotated_clips/videos").iterdir()]
    names += [f"asl_signs/videos/{path.name}" for path in (real_data / "asl_signs/videos").iterdir()]
    names.sort()
    prints = [read_clip(real_data, MediaRef("", "video", name, tokens=0)) for name in names]
    assert len(list(combinations(names, 2))) == 210
    found = clips.alike(prints)
    assert [(names[one.a], names[one.b]) for one in found] == [("asl_signs/videos/no.mkv", "asl_signs/videos/yes.mkv")]
