"""Localized re-sampling: hand-checked intervals, shares and frames, and what holds whatever is selected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.media.choosing import choose
from mmreason.media.clip import ClipInfo
from mmreason.media.frame_rules import FrameRule
from mmreason.project import load_module, project_dir

resample = load_module(project_dir() / "domains" / "video" / "earl" / "resample.py")


def clip(frames: int, fps: float = 8.0, times: np.ndarray | None = None) -> ClipInfo:
    """A clip of even rate, or with these frame times; its last frame lasts as long as the one before."""
    at = np.arange(frames) / fps if times is None else times
    last = 1 / fps if times is None or frames == 1 else float(at[-1] - at[-2])
    return ClipInfo(frames, fps, float(at[-1]) + last, at, 64, 48)


def grid(info: ClipInfo, count: int) -> resample.View:
    frames = tuple(dict.fromkeys(choose(FrameRule.parse(f"centres:{count}"), info).indices))
    return resample.View(frames, tuple(info.seconds(frames)), (0.0, info.duration))


def zoomed(info: ClipInfo, count: int, selected: list[int], most: int = 16) -> list[int]:
    return list(resample.zoom(info, grid(info, count), selected, most).frames)


# 16 grid frames of 256 at 1 a second: t = 8, 24, ..., 248, so neighbours are 16 s apart.
WORLD = clip(256, 1.0)
BY_HAND = [
    # the interval of the first frame begins with the clip: 0 to 24
    ([0], [(0.0, 24.0)], [1, 4, 7, 10, 13, 16, 19, 22]),
    # that of the last ends with it: 232 to 256
    ([15], [(232.0, 256.0)], [233, 236, 239, 242, 245, 248, 251, 254]),
    ([4], [(56.0, 88.0)], [58, 62, 66, 70, 74, 78, 82, 86]),
    # two neighbours are one interval of three spacings
    ([4, 5], [(56.0, 104.0)], [59, 65, 71, 77, 83, 89, 95, 101]),
    # intervals that touch are one: spacing 8, as for two apart
    ([4, 6], [(56.0, 120.0)], [60, 68, 76, 84, 92, 100, 108, 116]),
    ([1, 9], [(8.0, 40.0), (136.0, 168.0)], [12, 20, 28, 36, 140, 148, 156, 164]),
]


@pytest.mark.parametrize(("selected", "spans", "frames"), BY_HAND)
def test_by_hand(selected: list[int], spans: list[tuple[float, float]], frames: list[int]) -> None:
    assert resample.intervals(grid(WORLD, 16).seconds, selected, (0.0, 256.0)) == spans
    assert zoomed(WORLD, 16, selected, 8) == frames


@pytest.mark.parametrize(("isolated", "gain"), [(1, 8.0), (2, 4.0), (4, 2.0), (8, 1.0)])
def test_k_isolated_frames_make_the_spacing_k_eighths(isolated: int, gain: float) -> None:
    """One frame eight times finer, eight no finer at all. 64 grid frames 16 s apart."""
    info = clip(1024, 1.0)
    frames = zoomed(info, 64, [4 + 7 * place for place in range(isolated)])
    assert len(frames) == 16
    assert min(np.diff(frames)) == 16 / gain


def test_a_block_of_neighbours_covers_one_spacing_more_than_it_has_frames() -> None:
    """Three neighbours: four spacings of 16 s for 16 frames, 4 s apart."""
    assert set(np.diff(zoomed(WORLD, 16, [5, 6, 7]))) == {4}


def test_eight_isolated_frames_of_sixteen_cover_everything() -> None:
    frames = zoomed(WORLD, 16, list(range(0, 16, 2)))
    assert len(frames) == 16 and frames[0] == 8 and set(np.diff(frames)) == {15, 16}  # 0 to 248 s in parts of 15.5


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_in_the_grid(frames: int) -> None:
    """Each stands for the whole clip up to its neighbour."""
    info = clip(100, 10.0)
    assert grid(info, frames).seconds == ((5.0,) if frames == 1 else (2.5, 7.5))
    span = (0.0, 10.0) if frames == 1 else (0.0, 7.5)
    assert resample.intervals(grid(info, frames).seconds, [0], (0.0, 10.0)) == [span]
    assert len(zoomed(info, frames, [0])) == 16


@pytest.mark.parametrize("frames", [1, 2, 3, 9, 15])
def test_a_clip_with_fewer_frames_than_come_back(frames: int) -> None:
    """All of its frames once, no more: the interval of the only grid frame is the clip."""
    assert zoomed(clip(frames), 1, [0]) == list(range(frames))


def test_short_intervals_give_the_frames_that_they_have() -> None:
    """Grid of 5 of 10 frames; the second's interval holds frames 1 to 5."""
    info = clip(10)
    assert grid(info, 5).frames == (1, 3, 5, 7, 9)
    assert zoomed(info, 5, [1]) == [1, 2, 3, 4, 5]


SHARES = [
    ([2.0], 16, [16]),
    ([1.0, 1.0, 1.0], 16, [6, 5, 5]),  # 5.33 each: the first gets what is left
    ([3.0, 2.0], 8, [5, 3]),  # 4.8 and 3.2
    ([100.0, 1.0, 1.0, 1.0], 16, [13, 1, 1, 1]),  # 15.5 and thrice 0.16: the long one gives two
    ([9.0, 9.0, 0.1, 0.1], 4, [1, 1, 1, 1]),
    ([0.0, 0.0], 5, [3, 2]),
]


@pytest.mark.parametrize(("lengths", "count", "expected"), SHARES)
def test_shares(lengths: list[float], count: int, expected: list[int]) -> None:
    assert resample.allocate(lengths, count) == expected


def test_frames_go_by_time_where_the_rate_varies() -> None:
    """Ten frames in the first second, one a second after it: the second half of the clip has four frames."""
    info = clip(14, 10.0, np.concatenate([np.arange(10) / 10, [1.0, 2.0, 3.0, 4.0]]))
    assert not info.constant
    view = grid(info, 2)  # centres 1.25 and 3.75 s
    assert view.seconds == (1.0, 4.0)
    assert resample.zoom(info, view, [1], 8).frames == (10, 11, 12, 13)
    assert resample.zoom(info, view, [0], 16).frames == (1, 4, 6, 9, 10, 11, 12, 13)  # 0.125 s, then every 0.25 s


def test_a_second_round_goes_by_the_frames_of_the_first() -> None:
    """58, 62, ..., 86 came back for the fifth frame: the second of them reaches from 58 to 66."""
    first = resample.zoom(WORLD, grid(WORLD, 16), [4], 8)
    assert resample.zoom(WORLD, first, [1], 8).frames == (58, 59, 60, 61, 62, 63, 64, 65)
    assert resample.zoom(WORLD, first, [0], 8).spans == ((0.0, 62.0),)  # the clip's beginning stands in
    seen = resample.zoom(WORLD, first, [0], 8, seen=True)
    assert seen.spans == ((56.0, 62.0),) and seen.frames == (56, 57, 58, 59, 60, 61, 62)


def test_seen_keeps_to_the_interval_that_a_frame_came_from() -> None:
    """Frames 12, 20, 28, 36 and 140, 148, 156, 164: the fourth's right neighbour lies beyond a gap."""
    first = resample.zoom(WORLD, grid(WORLD, 16), [1, 9], 8)
    assert resample.zoom(WORLD, first, [3], 8).spans == ((28.0, 140.0),)
    assert resample.zoom(WORLD, first, [3], 8, seen=True).spans == ((28.0, 40.0),)


@st.composite
def games(draw: st.DrawFn) -> tuple[ClipInfo, int, list[int], int, bool]:
    """A clip of even or varying rate, a grid, a selection, how many frames may come back, and the edge rule."""
    frames = draw(st.integers(1, 90))
    steps = draw(st.lists(st.floats(0.001, 3.0), min_size=frames, max_size=frames))
    times = np.cumsum(steps) if draw(st.booleans()) else None
    info = clip(frames, draw(st.sampled_from([1.0, 8.0, 23.976, 30.0])), times)
    shown = len(grid(info, draw(st.integers(1, 40))).frames)
    selected = draw(st.lists(st.integers(0, shown - 1), min_size=1, max_size=8, unique=True))
    return info, shown, selected, draw(st.integers(8, 20)), draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(games())
def test_whatever_is_selected(game: tuple[ClipInfo, int, list[int], int, bool]) -> None:
    info, shown, selected, most, seen = game
    view = grid(info, shown)
    selected = [place for place in selected if place < len(view.frames)] or [0]
    for _ in range(2):
        after = resample.zoom(info, view, selected, most, seen)
        assert 1 <= len(after.frames) <= most
        assert list(after.frames) == sorted(set(after.frames))
        assert 0 <= after.frames[0] and after.frames[-1] < info.frames
        assert all(any(low - 1e-5 <= at <= high + 1e-5 for low, high in after.spans) for at in after.seconds)
        assert resample.zoom(info, view, selected[::-1], most, seen) == after
        view, selected = after, [len(after.frames) // 2]


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=8), st.integers(8, 64))
def test_shares_add_up(lengths: list[float], count: int) -> None:
    given_frames = resample.allocate(lengths, count)
    assert sum(given_frames) == count and min(given_frames) >= 1
    whole = sum(lengths)
    if whole > 0 and min(lengths) * count >= whole:  # nobody was lifted to one
        assert all(abs(n - count * length / whole) < 1 + 1e-6 for n, length in zip(given_frames, lengths, strict=True))
