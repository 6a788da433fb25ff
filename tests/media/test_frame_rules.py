"""Frame rules against numbers of the libraries that they come from: qwen-vl-utils 0.0.14 and the suites' loaders."""

from __future__ import annotations

import numpy as np
import pytest

from mmreason.errors import UserError
from mmreason.media.choosing import Chosen, choose
from mmreason.media.clip import ClipInfo
from mmreason.media.frame_rules import FrameRule, Kind


def info(frames: int, fps: float, first: int = 0) -> ClipInfo:
    return ClipInfo(frames, fps, frames / fps, np.arange(frames) / fps, 64, 48, first)


def chosen(rule: str, clip: ClipInfo, start: float | None = None, end: float | None = None) -> Chosen:
    return choose(FrameRule.parse(rule), clip, start, end)


@pytest.mark.parametrize(
    ("frames", "fps", "rule", "expected"),
    [
        (300, 30, "fps:2", 20),
        (299, 29.97, "fps:2", 18),
        (45, 30, "fps:2", 4),
        (5, 30, "fps:2", 4),
        (3, 30, "fps:2", 2),
        (108000, 30, "fps:2", 768),
        (450, 30, "fps:2,max=32", 30),
        (108000, 30, "fps:2,max=32", 32),
        (450, 30, "fps:2,min=40,max=64", 40),
        (300, 30, "uniform:33", 32),  # 16.5 rounds to even
        (5, 30, "uniform:32", 4),  # the library fails
        (1, 30, "fps:2", 2),  # the library fails; the one frame stands twice
        (1, 30, "uniform:8", 2),
        (7, 30, "all", 7),
    ],
)
def test_how_many(frames: int, fps: float, rule: str, expected: int) -> None:
    indices = chosen(rule, info(frames, fps)).indices
    assert len(indices) == expected
    assert (indices[0], indices[-1]) == (0, frames - 1)


@pytest.mark.parametrize(
    ("frames", "fps", "rule", "start", "end", "indices", "sample_fps"),
    [  # computed with qwen-vl-utils 0.0.14
        (300, 30, "fps:2", 1.5, 7.25, [45, 64, 83, 102, 121, 141, 160, 179, 198, 217], 1.7341040462427746),
        (299, 29.97, "uniform:8", 3.3, None, [99, 127, 156, 184, 213, 241, 270, 298], 1.1988),
        (75, 25, "uniform:8", None, 2.0, [0, 7, 14, 21, 29, 36, 43, 50], 3.9215686274509802),
        (101, 25, "fps:1", None, None, [0, 33, 67, 100], 0.9900990099009901),
    ],
)
def test_frames_of_qwen_vl_utils(
    frames: int, fps: float, rule: str, start: float | None, end: float | None, indices: list[int], sample_fps: float
) -> None:
    found = chosen(rule, info(frames, fps), start, end)
    assert list(found.indices) == indices
    assert found.sample_fps == pytest.approx(sample_fps, rel=1e-12)


@pytest.mark.parametrize(
    ("clip", "start", "end", "indices"),
    [  # computed with the index function of MVBench's scorer, 16 segments; numbers of folders begin with 1
        (info(400, 25), None, None, [12, 37, 62, 87, 112, 137, 162, 187, 212, 236, 261, 286, 311, 336, 361, 386]),
        (info(299, 29.97), 2.5, 7.1, [79, 88, 96, 105, 113, 122, 131, 139, 148, 157, 165, 174, 183, 191, 200, 208]),
        (info(300, 30), 0.0, 1.0, [0, 2, 4, 6, 8, 9, 11, 13, 15, 17, 19, 21, 22, 24, 26, 28]),
        (info(10, 30), None, None, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7, 8, 8]),
        (info(30, 3, 1), 3.5, 6.0, [9, 9, 10, 11, 11, 11, 12, 13, 13, 13, 14, 15, 15, 15, 16, 17]),
        (info(30, 3, 1), None, None, [0, 2, 4, 5, 7, 9, 11, 13, 14, 16, 18, 20, 22, 24, 25, 27]),
    ],
)
def test_segments_of_mvbench(clip: ClipInfo, start: float | None, end: float | None, indices: list[int]) -> None:
    found = chosen("segments:16", clip, start, end)
    assert (list(found.indices), found.note) == (indices, "")


def test_a_window_behind_the_clip_is_clamped_and_told() -> None:
    found = chosen("segments:16", info(100, 25), 20.0, 30.0)  # the scorer computes 487, 462, ... 111
    assert found.indices == (99,) * 16
    assert found.note == "window 20.0-30.0 s lies outside the clip, clamped"


def test_time_between_segments_is_their_length() -> None:
    assert chosen("segments:16", info(31, 3, 1), 2.0, 8.0).sample_fps == pytest.approx(16 / 6)  # frames a second
    assert chosen("segments:8", info(401, 25)).sample_fps == pytest.approx(0.5)


def test_floor_of_longvideobench() -> None:
    """int(total / n) * i: biased to the start; as many frames as whole seconds at most."""
    assert chosen("floor:32", info(250, 25)).indices == tuple(range(0, 250, 25))
    found = chosen("floor:32", info(1000, 25))
    assert found.indices == tuple(31 * index for index in range(32))
    assert found.sample_fps == pytest.approx(25 / 31)
    assert chosen("floor:32", info(20, 25)).indices == (0, 0)


def test_floor_goes_by_the_annotated_duration() -> None:
    assert chosen("floor:8", info(1000, 25), end=36.5).indices == tuple(114 * index for index in range(8))  # 912 / 8
    longer = chosen("floor:8", info(100, 25), end=8.0)
    assert longer.indices == (0, 25, 50, 75, 99, 99, 99, 99)
    assert "longer than the clip" in longer.note


@pytest.mark.parametrize(
    ("clip", "count", "start", "end", "indices"),
    [
        (info(100, 25), 4, None, None, [12, 37, 62, 87]),  # 0.5, 1.5, 2.5 and 3.5 s: twice 12.5, equally near to two
        (info(80, 25), 4, None, None, [10, 30, 50, 70]),
        (info(20, 4), 5, None, None, [2, 6, 10, 14, 18]),
        (info(7, 30), 7, None, None, [0, 1, 2, 3, 4, 5, 6]),  # as many as there are: each once
        (info(7, 29.97), 32, None, None, [0, 1, 2, 3, 4, 5, 6]),
        (info(1, 30), 32, None, None, [0]),
        (info(100, 25), 2, 1.0, 3.0, [37, 62]),  # 1.5 and 2.5 s
        (info(100, 25), 8, 3.9, 9.0, [98, 99]),
    ],
)
def test_centres(clip: ClipInfo, count: int, start: float | None, end: float | None, indices: list[int]) -> None:
    assert list(choose(FrameRule.parse(f"centres:{count}"), clip, start, end, once=True).indices) == indices


def test_centres_of_many_lengths_and_rates_ascend_and_are_as_many_as_asked() -> None:
    for fps in (1.0, 7.3, 23.976, 29.97, 60.0):
        for frames in (*range(1, 70), 333, 10_007):
            indices = np.array(choose(FrameRule.parse("centres:32"), info(frames, fps), once=True).indices)
            assert len(indices) == min(32, frames) and (np.diff(indices) > 0).all()
            if frames > 32:  # never the very ends, within half a frame of the middles
                assert np.abs(indices - (np.arange(32) + 0.5) * frames / 32).max() <= 0.5 + 1e-4


def test_centres_of_a_varying_rate_go_by_time() -> None:
    """Middles of four parts of 10 s: 1.25, 3.75, 6.25 and 8.75."""
    times = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 6.0, 6.5, 9.9])
    assert chosen("centres:4", ClipInfo(8, 0.8, 10.0, times, 64, 48)).indices == (2, 4, 5, 7)
    bunched = np.array([0.0, 5.0, 5.1, 5.2])
    assert chosen("centres:4", ClipInfo(4, 0.4, 10.0, bunched, 64, 48)).indices == (0, 1, 3)  # 6.25 and 8.75 share one


def test_named_frames_are_taken_as_they_are() -> None:
    assert chosen("at:3+7+99", info(100, 25)).indices == (3, 7, 99)
    assert chosen("at:3+7+11", info(100, 25)).sample_fps == pytest.approx(25 / 4)
    assert chosen("at:7", info(100, 25)).indices == (7, 7)
    assert choose(FrameRule.parse("at:7"), info(100, 25), once=True).indices == (7,)
    with pytest.raises(UserError, match=r"'at:3\+100' names frame 100, there are 0 to 99"):
        chosen("at:3+100", info(100, 25))
    with pytest.raises(UserError, match=r"names frame 3, there are 25 to 50"):
        chosen("at:3+30", info(100, 25), 1.0, 2.0)


def test_once_drops_what_a_rule_repeats() -> None:
    rule = FrameRule.parse("segments:16")
    assert choose(rule, info(10, 30), once=True).indices == tuple(range(9))


def test_windows_of_a_varying_rate_go_by_time() -> None:
    times = np.array([0.0, 0.1, 0.2, 3.0, 3.1, 6.0, 6.5, 9.9])
    clip = ClipInfo(8, 0.8, 10.0, times, 64, 48)
    assert clip.constant is False
    assert chosen("all", clip, 0.15, 6.0).indices == (2, 3, 4, 5)
    assert chosen("segments:2", clip, 3.0, 9.9).indices == (4, 6)  # frames 3 to 7, 2 apart from the middle of each half


def test_a_window_of_one_frame_gives_it_twice() -> None:
    found = chosen("fps:2", info(100, 25), 1.0, 1.03)
    assert (found.indices, found.sample_fps) == ((25, 25), 50.0)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [(3.0, 2.0, "ends before it begins"), (9.0, None, "holds no frame"), (1.001, 1.002, "holds no frame")],
)
def test_windows_without_a_frame_are_told(start: float, end: float | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chosen("fps:2", info(100, 25), start, end)


@pytest.mark.parametrize(
    "text",
    [
        "fps:2",
        "fps:0.5,max=32",
        "fps:2,min=8,max=64",
        "uniform:32",
        "segments:16",
        "floor:32",
        "all",
        "centres:32",
        "at:0+3+17",
    ],
)
def test_a_rule_is_written_as_it_was_read(text: str) -> None:
    assert str(FrameRule.parse(text)) == text


def test_defaults_are_not_written() -> None:
    rule = FrameRule.parse("fps:2.0,min=4,max=768")
    assert (str(rule), rule) == ("fps:2", FrameRule(Kind.FPS, 2.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unifrom:32", r"'unifrom:32' is unknown \(did you mean 'uniform'\?\)"),
        ("", "is unknown"),
        ("fps", "needs a number"),
        ("fps:0", "above 0"),
        ("fps:1.2.3", "needs a number"),
        ("uniform:2.5", "whole number"),
        ("all:3", "takes no number"),
        ("fps:2,mx=32", r"option 'mx' \(did you mean 'max'\?\)"),
        ("uniform:32,max=3", "takes none"),
        ("fps:2,min=64,max=32", "between 64 and 32"),
        ("fps:2;max=3", "is unknown"),
        ("at", "needs frame numbers"),
        ("at:3+", "needs frame numbers"),
        ("at:2.5", "needs frame numbers"),
        ("at:7+3", "out of order or twice"),
        ("at:3+3", "out of order or twice"),
        ("centres:1+2", "needs a number"),
    ],
)
def test_a_wrong_rule_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        FrameRule.parse(text)
    assert "\n" not in str(caught.value)
