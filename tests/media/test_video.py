"""Clips whose frames carry their numbers: what a rule asks for is what is decoded, whatever the container does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mmreason.errors import UserError
from mmreason.media.choosing import choose
from mmreason.media.frame_rules import FrameRule

av = pytest.importorskip("av", reason="clips are read with PyAV")

from mmreason.media import clip as limits  # noqa: E402
from mmreason.media import containers, video  # noqa: E402

if TYPE_CHECKING:
    from conftest import Make

HEIGHT, WIDTH = 48, 192


def number_of(picture: np.ndarray) -> int:
    """The number that a frame carries: twelve stripes 16 pixels wide, the lowest bit at the left."""
    row = picture[HEIGHT * 3 // 4, 8::16, 1] > 127
    return int(sum(1 << place for place, lit in enumerate(row) if lit))


def numbers(path: Path, indices: list[int]) -> list[int]:
    return video.read_frames(path, indices, number_of)


RATES = [3, 25, Fraction(30_000, 1001), 30, 60]
WINDOWS = [(None, None), (0.7, 2.3), (None, 1.5), (1.0, None)]


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("rule", ["fps:2", "uniform:8", "segments:6", "floor:16", "all"])
def test_the_formulas_frames_are_decoded(clip: Make, fps: Fraction, rule: str) -> None:
    path = clip("numbered.mp4", 100, fps, options={"bf": "2"})
    info = video.probe(path)
    assert (info.frames, info.width, info.height, info.constant) == (100, WIDTH, HEIGHT, True)
    assert info.fps == pytest.approx(float(fps), rel=1e-9)
    assert info.duration == pytest.approx(100 / float(fps), rel=1e-9)
    assert info.times == pytest.approx(np.arange(100) / float(fps), abs=1e-3)
    for start, end in WINDOWS:
        chosen = choose(FrameRule.parse(rule), info, start, end)
        assert numbers(path, list(chosen.indices)) == list(chosen.indices)


CODINGS = {
    "h264.mkv": "libx264",
    "h264.mov": "libx264",
    "h264.avi": "libx264",
    "mpeg4.avi": "mpeg4",
    "mjpeg.avi": "mjpeg",
    "vp8.webm": "libvpx",
    "vp9.webm": "libvpx-vp9",
    "hevc.mp4": "libx265",
    "moving.gif": "gif",
}


@pytest.mark.parametrize("name", CODINGS)
def test_every_container_gives_the_frames_asked_for(clip: Make, name: str) -> None:
    bends = {"x265-params": "log-level=none"} if "hevc" in name else {"deadline": "realtime"} if "vp" in name else {}
    path = clip(name, 90, 25, CODINGS[name], options=bends)
    info = video.probe(path)
    assert (info.frames, info.fps, info.duration) == (90, 25.0, 3.6)
    assert info.times == pytest.approx(np.arange(90) / 25, abs=1e-3)
    assert numbers(path, [89, 3, 40, 40, 0, 89]) == [89, 3, 40, 40, 0, 89]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_varying_rate_keeps_its_times(clip: Make, suffix: str) -> None:
    times = [*np.arange(20) * 0.04, *(2.0 + np.arange(10) * 0.25), *(5.0 + np.arange(20) * 0.02)]
    path = clip(f"varying.{suffix}", 50, 25, times=times, options={"bf": "2"})
    info = video.probe(path)
    assert info.constant is False
    assert info.times == pytest.approx(times, abs=1e-3)
    assert info.fps == pytest.approx(49 / 5.38, rel=0.05)
    chosen = choose(FrameRule.parse("all"), info, 2.1, 5.01)
    assert list(chosen.indices) == numbers(path, list(chosen.indices)) == list(range(21, 31))
    assert info.seconds([21, 30]) == pytest.approx([2.25, 5.0], abs=1e-3)


def test_an_edit_list_hides_what_it_cuts(clip: Make) -> None:
    """The first 15 frames lie before the beginning; the file holds them because the first key frame is there."""
    path = clip(
        "edited.mp4",
        40,
        25,
        times=[(number - 15) / 25 for number in range(40)],
        options={"bf": "2"},
        container={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )
    info = video.probe(path)
    assert (info.frames, info.times[0], info.duration) == (25, 0.0, 1.0)
    assert numbers(path, [0, 7, 24]) == [15, 22, 39]


@pytest.mark.parametrize(("turn", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_a_turned_clip_stands_upright(clip: Make, turn: int, corner: tuple[int, int]) -> None:
    """The red corner is stored at the top left; `turn` is counter-clockwise."""
    path = clip("turned.mp4", 3, turn=turn)
    info = video.probe(path)
    assert (info.width, info.height) == ((WIDTH, HEIGHT) if turn == 180 else (HEIGHT, WIDTH))
    (picture,) = video.read_frames(path, [1], lambda frame: frame)
    assert picture.shape == (info.height, info.width, 3)
    red, green, _ = picture[corner].astype(int)
    assert red > 200 and green < 60


def silence(samples: int) -> Any:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.int16), format="s16", layout="mono")
    frame.sample_rate, frame.pts = 8000, 0
    return frame


def test_sound_that_begins_first_shifts_the_pictures(clip: Make, tmp_path: Path) -> None:
    silent, path = clip("silent.mp4", 25), tmp_path / "late.mkv"
    with av.open(str(silent)) as source, av.open(str(path), "w") as out:
        pictures = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("flac", rate=8000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts + 2 / packet.time_base, packet.dts + 2 / packet.time_base
                packet.stream = pictures
                out.mux(packet)
        out.mux(sound.encode(silence(24_000)))
        out.mux(sound.encode())
    info = video.probe(path)
    assert info.times[[0, 24]] == pytest.approx([2.0, 2.96], abs=2e-3)
    assert numbers(path, list(choose(FrameRule.parse("all"), info, 2.4, 2.5).indices)) == [10, 11, 12]


def test_packets_that_show_nothing_are_no_frames(clip: Make) -> None:
    """VP8 keeps reference frames in packets of their own; clearing the shown bit of one makes it such a packet."""
    path = clip("vp8.webm", 30, codec="libvpx", options={"deadline": "realtime"})
    with av.open(str(path)) as container:
        packet = next(itertools.islice(container.demux(video=0), 10, None))
        stored = bytes(packet)
    data = path.read_bytes()
    assert data.count(stored) == 1
    path.write_bytes(data.replace(stored, bytes([stored[0] & ~0x10]) + stored[1:]))
    assert video.probe(path).frames == 29
    assert numbers(path, [9, 10, 28]) == [9, 11, 29]


def test_transparent_parts_of_a_gif_are_white(tmp_path: Path) -> None:
    from PIL import Image

    frames = [Image.new("RGBA", (20, 10)) for _ in range(4)]
    for number, frame in enumerate(frames):
        frame.paste((255, 0, 0, 255), (0, 0, 5 + number, 10))
    frames[0].save(tmp_path / "clear.gif", save_all=True, append_images=frames[1:], duration=70, disposal=2)
    info = video.probe(tmp_path / "clear.gif")
    assert info.times == pytest.approx([0.0, 0.07, 0.14, 0.21])
    shown = video.read_frames(tmp_path / "clear.gif", [0, 3], lambda frame: frame[5, [0, 6, 15]].tolist())
    red, white = [255, 0, 0], [255, 255, 255]
    assert shown == [[red, white, white], [red, red, white]]


def test_one_frame_is_a_clip(clip: Make) -> None:
    path = clip("one.mp4", 1)
    info = video.probe(path)
    assert (info.frames, info.fps, info.duration) == (1, 25.0, 0.04)
    assert numbers(path, list(choose(FrameRule.parse("fps:2"), info).indices)) == [0, 0]


def test_only_wanted_frames_become_pictures(clip: Make) -> None:
    path, seen = clip("long.mp4", 200), []
    video.read_frames(path, [150, 20, 150], lambda frame: seen.append(number_of(frame)))
    assert seen == [20, 150]


def test_threads_do_not_disturb_each_other(clip: Make) -> None:
    path = clip("shared.mp4", 120)
    wanted = [[start, start + 40, start + 60] for start in range(12)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda indices: numbers(path, indices), wanted)) == wanted


def test_a_changed_file_is_read_anew(clip: Make) -> None:
    assert video.probe(clip("same.mp4", 10)).frames == 10
    assert video.probe(clip("same.mp4", 20)).frames == 20


def told(path: Path, work: Callable[[Path], object] = video.probe) -> str:
    """The one line that a bad clip gives; it names the file."""
    with pytest.raises(UserError) as caught:
        work(path)
    line = str(caught.value)
    assert "\n" not in line and str(path) in line
    return line


def test_indices_outside_are_told(clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("short.mp4", 5)
    assert "frames 0 to 4, frame 5 was asked for" in told(path, lambda p: numbers(p, [0, 5]))
    assert "frame -1 was asked for" in told(path, lambda p: numbers(p, [-1]))
    monkeypatch.setattr(limits, "MAX_CHOSEN", 3)
    assert "at most 3 are decoded" in told(path, lambda p: numbers(p, [0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.mp4", b"", "is empty"),
        ("page.mp4", b"<html>not found</html>", "no known clip"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "no known clip"),  # would open other files
        ("parts.mkv", b"ffconcat version 1.0\nfile other.mp4\n", "no known clip"),
        ("head.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 400, "is damaged"),
        ("head.webm", b"\x1a\x45\xdf\xa3" + b"\0" * 400, "is damaged"),
        ("head.avi", b"RIFF\0\0\0\0AVI LIST" + b"\0" * 400, "is damaged"),
        ("moving.mp4", b"GIF89a" + b"\0" * 400, "holds GIF, its extension says .mp4"),
        ("moving.gif", b"GIF89a" + b"\xff" * 400, "is cut"),
    ],
)
def test_what_is_no_clip_is_told(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert message in told(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.webm", "cut.avi", "cut.gif"])
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_a_cut_file_is_told(clip: Make, name: str, share: float) -> None:
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4", "gif": "gif"}.get(name[4:], "libx264")
    path = clip(name, 90, 25, codec, container={"movflags": "faststart"} if name == "cut.mp4" else {})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert any(word in told(path) for word in ("cut", "damaged", "no frame"))


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mkv"), "w") as out:
        stream = out.add_stream("flac", rate=8000, layout="mono")
        out.mux(stream.encode(silence(800)))
        out.mux(stream.encode())
    assert "no video stream" in told(tmp_path / "sound.mkv")


def test_damage_inside_is_told_when_its_frames_are_wanted(clip: Make) -> None:
    path = clip("damaged.mp4", 60, options={"crf": "5"})
    with av.open(str(path)) as container:
        entries = list(container.streams.video[0].index_entries)
    data = bytearray(path.read_bytes())
    for entry in entries[20:36]:
        data[entry.pos + 4 : entry.pos + entry.size] = b"\xff" * (entry.size - 4)
    path.write_bytes(data)
    assert numbers(path, [0, 50]) == [0, 50]  # reached from key frames of their own
    assert "damaged" in told(path, lambda p: numbers(p, [30]))


def test_limits_hold_before_decoding(clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("limits.mp4", 12)
    monkeypatch.setattr(containers, "MAX_VIDEO_BYTES", 1000)
    assert "are read; shrink it" in told(path)
    monkeypatch.undo()
    monkeypatch.setattr(containers, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert f"{WIDTH} x {HEIGHT} pixels" in told(path)
    monkeypatch.undo()
    monkeypatch.setattr(containers, "MAX_FRAMES", 11)
    assert "over 11 frames" in told(path)


def test_the_clock_ends_a_file_in_any_thread(clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip("slow.mp4", 12)
    monkeypatch.setattr(video, "PROBE_SECONDS", -1.0)
    with ThreadPoolExecutor(1) as pool:
        assert "took over -1 seconds" in pool.submit(told, path).result()
    monkeypatch.undo()
    assert video.probe(path).frames == 12
    monkeypatch.setattr(video, "READ_SECONDS", -1.0)
    assert "took over" in told(path, lambda p: numbers(p, [3]))


def test_frames_that_no_other_needs_are_passed_over(clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixel for pixel what decoding everything gives, with fewer frames decoded."""
    path, wanted = clip("skipping.mp4", 48, options={"bf": "3", "b-pyramid": "strict"}), [3, 5, 14, 30, 31, 47]
    video.probe(path)
    monkeypatch.setattr(video, "_SKIPPING", ())
    every = video.read_frames(path, list(range(48)), lambda frame: frame)
    monkeypatch.undo()
    out, decoded = [], video._decoded
    monkeypatch.setattr(video, "_decoded", lambda *given: (out.append(frame) or frame for frame in decoded(*given)))
    made = video.read_frames(path, wanted, lambda frame: frame)
    assert all(np.array_equal(frame, every[index]) for frame, index in zip(made, wanted, strict=True))
    assert len(out) < 40
