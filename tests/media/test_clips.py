"""From references to frames: files and folders, windows, settings that must not be ignored, and real clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.clips import Clip, open_clip
from mmreason.media.files import media_ref
from mmreason.records import MediaRef

if TYPE_CHECKING:
    from conftest import Make


def shades(root: Path, name: str, count: int, first: int = 1, suffix: str = "png") -> MediaRef:
    """A folder of frames whose number is their shade, at 3 frames a second."""
    (root / name).mkdir()
    for number in range(first, first + count):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(root / name / f"{number:05d}.{suffix}")
    return media_ref(root, name, "video", fps=3.0)


def seen(clip: Clip) -> list[int]:
    return clip.frames(lambda frame: int(frame[0, 0, 0]))


def test_a_folder_of_frames_is_a_clip(tmp_path: Path) -> None:
    ref = replace(shades(tmp_path, "frames", 30), frame_rule="uniform:4")
    clip = open_clip(tmp_path, ref)
    assert (clip.info.frames, clip.info.duration, clip.info.first) == (30, 10.0, 1)
    assert (clip.info.width, clip.info.height) == (32, 24)
    assert seen(clip) == [1, 11, 20, 30]
    assert clip.chosen.sample_fps == pytest.approx(0.4)
    assert clip.step_seconds() == pytest.approx((10 / 6, (19 + 29) / 6))


def test_mvbenchs_window_of_a_folder(tmp_path: Path) -> None:
    """File numbers 10 to 18 as its scorer computes them; n / (end - start) frames a second."""
    ref = replace(shades(tmp_path, "frames", 30), frame_rule="segments:4", start=3.0, end=6.0)
    clip = open_clip(tmp_path, ref)
    assert seen(clip) == [10, 12, 14, 17]
    assert clip.chosen.sample_fps == pytest.approx(4 / 3)


def test_numbers_count_and_not_names(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in (9, 10, 11):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / "frames" / f"{number}.png")
    (tmp_path / "frames" / ".hidden").write_text("")
    clip = open_clip(tmp_path, replace(media_ref(tmp_path, "frames", "video", fps=1.0), frame_rule="all"))
    assert seen(clip) == [9, 10, 11]
    assert clip.step_seconds() == (0.5, 2.0)  # an odd number: the last frame fills the last step


def test_what_is_wrong_with_a_folder_is_told(tmp_path: Path) -> None:
    ref = shades(tmp_path, "frames", 5)
    with pytest.raises(UserError, match=r"'frames' needs fps, its frames a second"):
        media_ref(tmp_path, "frames", "video")
    with pytest.raises(UserError, match="needs fps"):
        open_clip(tmp_path, replace(ref, fps=0.0))
    (tmp_path / "frames" / "00003.png").unlink()
    with pytest.raises(UserError, match="has no single frame 3"):
        media_ref(tmp_path, "frames", "video", fps=3.0)
    Image.new("RGB", (40, 24)).save(tmp_path / "frames" / "00003.png")
    with pytest.raises(UserError, match="has changed since"):
        open_clip(tmp_path, ref)
    mixed = replace(media_ref(tmp_path, "frames", "video", fps=3.0), frame_rule="all")
    with pytest.raises(UserError, match=r"mixes sizes: 00003.png has \(40, 24\)"):
        seen(open_clip(tmp_path, mixed))
    (tmp_path / "frames" / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds 'notes.txt' beside frames"):
        media_ref(tmp_path, "frames", "video", fps=3.0)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="holds no frame"):
        media_ref(tmp_path, "none", "video", fps=3.0)


def test_a_link_out_of_the_root_is_no_frame(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shades(root, "frames", 2)
    Image.new("RGB", (32, 24)).save(tmp_path / "secret.png")
    (root / "frames" / "00003.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match="leaves the data folder"):
        media_ref(root, "frames", "video", fps=3.0)


def test_a_file_carries_its_own_times(clip: Make) -> None:
    path = clip("file.mp4", 50)
    ref = media_ref(path.parent, "file.mp4", "video")
    with pytest.raises(UserError, match="carries its own times"):
        media_ref(path.parent, "file.mp4", "video", fps=3.0)
    with pytest.raises(UserError, match="carries its own times"):
        open_clip(path.parent, replace(ref, fps=3.0))
    opened = open_clip(path.parent, ref)
    assert opened.chosen.indices == (0, 16, 33, 49)  # "fps:2" where no rule is named
    with pytest.raises(UserError, match=r"clip 'file.mp4': frame rule 'fsp:2' is unknown"):
        open_clip(path.parent, replace(ref, frame_rule="fsp:2"))
    with pytest.raises(UserError, match=r"clip 'file.mp4': the window from 9 to 10 seconds holds no frame"):
        open_clip(path.parent, replace(ref, start=9.0, end=10.0))


def test_a_bent_window_is_logged(clip: Make, caplog: pytest.LogCaptureFixture) -> None:
    path = clip("file.mp4", 50)
    ref = media_ref(path.parent, "file.mp4", "video")
    open_clip(path.parent, replace(ref, frame_rule="segments:4", start=5.0, end=8.0))
    assert "clip file.mp4: window 5.0-8.0 s lies outside the clip, clamped" in caplog.text


def test_real_clips_have_the_times_that_their_annotations_say(real_data: Path) -> None:
    pytest.importorskip("av", reason="clips are read with PyAV")
    root = real_data / "annotated_clips"
    rows = [json.loads(line) for line in (root / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 6
    for row in rows:
        clip = open_clip(root, replace(media_ref(root, row["video"], "video"), frame_rule="uniform:6"))
        info = clip.info
        assert (info.frames, info.width, info.height) == (row["frames"], row["width"], row["height"])
        assert float(info.times[-1]) == pytest.approx(row["duration"], abs=0.02)
        assert len(clip.frames(np.shape)) == 6


def test_a_real_clips_windows_are_its_frames_from_the_beginning(real_data: Path) -> None:
    """Random access against decoding everything in order, on files made by other encoders."""
    av = pytest.importorskip("av", reason="clips are read with PyAV")
    for name in (
        "annotated_clips/videos/timecode.mp4",
        "annotated_clips/videos/worker.gif",
        "asl_signs/videos/book.mkv",
    ):
        ref = replace(media_ref(real_data, name, "video"), frame_rule="uniform:6", start=1.0, end=3.0)
        clip = open_clip(real_data, ref)
        with av.open(str(real_data / name)) as container:
            plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(plain) == clip.info.frames
        made = clip.frames(np.array)
        assert all(np.array_equal(made[place], plain[index]) for place, index in enumerate(clip.chosen.indices))


def test_signs_with_a_dropped_frame_keep_their_times(real_data: Path) -> None:
    pytest.importorskip("av", reason="clips are read with PyAV")
    clips = sorted((real_data / "asl_signs" / "videos").glob("*.mkv"))
    assert len(clips) == 15
    infos = {path.stem: open_clip(real_data, media_ref(real_data, str(path.relative_to(real_data)), "video")).info
             for path in clips}  # fmt: skip
    assert {name for name, info in infos.items() if not info.constant} == {"brother"}
    assert all(info.fps == 30.0 for info in infos.values())
    assert infos["brother"].times[:2] == pytest.approx([0.0, 0.067])
