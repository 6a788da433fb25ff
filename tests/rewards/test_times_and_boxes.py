"""Intervals, frame lists and boxes: the forms that are read, and values worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.box import box_iou, parse_box
from mmreason.rewards.grade import grade
from mmreason.rewards.times import merge, parse_frames, parse_intervals, temporal_iou

ONE = [
    "[3.2, 7.5]",
    "[[3.2, 7.5]]",
    "3.2s to 7.5s",
    "3.2 - 7.5 seconds",
    "from 3.2 to 7.5 seconds",
    "between 3.2 s and 7.5 s",
    "<3.2> and <7.5>",
    "<3.2 seconds> to <7.5 seconds>",
    "0:03.2 \u2013 0:07.5",
    "00:00:03.2 - 00:00:07.5",
    '{"start": 3.2, "end": 7.5}',
    '[{"start_time": 3.2, "end_time": 7.5}]',
    "3.2秒到7.5秒",
    "３．２〜７．５",
    "The event happens from 3.2 to 7.5.",
]


@pytest.mark.parametrize("text", ONE)
def test_forms_of_one_interval(text: str) -> None:
    assert parse_intervals(text) == [(3.2, 7.5)]


SEVERAL = [
    ("[[1, 2], [4, 6.5]]", [(1, 2), (4, 6.5)]),
    ("1 to 2 and 4 to 6.5", [(1, 2), (4, 6.5)]),
    ("00:03 - 00:07, 01:10 - 01:12", [(3, 7), (70, 72)]),
    ("1:02:03 - 1:02:05", [(3723, 3725)]),
    ("1 min 5 s to 2 minutes", [(65, 120)]),
    ("1分5秒到2分", [(65, 120)]),
    ("5, 5", [(5, 5)]),
]


@pytest.mark.parametrize(("text", "expected"), SEVERAL)
def test_several_intervals_and_clock_times(text: str, expected: list[tuple[float, float]]) -> None:
    assert parse_intervals(text) == expected


NO_INTERVAL = [
    *("", "3.2", "[3.2, 7.5, 9]", "[7.5, 3.2]", "no such moment"),  # none, odd, end before start
    *("[nan, 7.5]", "[NaN, NaN]", "[3.2, inf]", "3.2 to Infinity", "1e3 to 2e3"),  # not finite, not plain
    *("[-1, 5]", "3 - -5", "- 3 to 5", "1-2-3-4"),  # signs, ranges of more than two
    *("3 to 5 or 7 to 9", "not 3 to 5", "3 to 5 hours", "frames 3 to 5", "3.2.1 to 5"),  # hedges, other units
    "[0, 1] " * 200,
]


@pytest.mark.parametrize("text", NO_INTERVAL)
def test_what_is_no_interval(text: str) -> None:
    assert parse_intervals(text) is None


IOU = [  # (read, gold, intersection over union)
    ([(3, 7)], [(3, 7)], 1.0),
    ([(0, 10)], [(5, 15)], 5 / 15),
    ([(0, 1)], [(2, 3)], 0.0),
    ([(0, 2)], [(2, 3)], 0.0),
    ([(0, 2), (1, 3)], [(0, 3)], 1.0),  # unions: overlapping pieces count once
    ([(0, 1), (2, 3)], [(0, 3)], 2 / 3),
    ([(0, 10)], [(0, 2), (8, 10)], 0.4),
    ([(5, 5)], [(0, 10)], 0.0),
    ([(5, 5)], [(5, 5)], 0.0),
]


@pytest.mark.parametrize(("read", "gold", "value"), IOU)
def test_temporal_iou(read: list[tuple[float, float]], gold: list[tuple[float, float]], value: float) -> None:
    assert temporal_iou(read, gold) == pytest.approx(value)


SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 9)).map(lambda p: (p[0], p[0] + p[1])), min_size=1, max_size=5
)


@given(read=SPANS, gold=SPANS)
@settings(max_examples=100, deadline=None)
def test_temporal_iou_counts_seconds(read: list[tuple[int, int]], gold: list[tuple[int, int]]) -> None:
    said, wanted = ({second for start, end in spans for second in range(start, end)} for spans in (read, gold))
    assert temporal_iou(read, gold) == pytest.approx(len(said & wanted) / len(said | wanted))
    assert merge(read) == merge(list(reversed(read)))


def _interval(text: str, gold: str = "[[10, 20]]", **known: float) -> tuple[Outcome, float]:
    verdict = grade(f"<answer>{text}</answer>", Answer(AnswerKind.INTERVAL, gold, **known))
    return verdict.outcome, verdict.credit


def test_interval_verdicts() -> None:
    assert _interval("10 to 20") == (Outcome.RIGHT, 1.0)
    assert _interval("[10, 15]") == (Outcome.RIGHT, 0.5)  # the threshold itself counts
    assert _interval("[10, 14.9]") == (Outcome.WRONG, pytest.approx(0.49))
    assert _interval("[10, 15]", threshold=0.7) == (Outcome.WRONG, 0.5)
    assert _interval("[10, 20] and [30, 33]") == (Outcome.WRONG, pytest.approx(10 / 13))  # a hedge beside one gold
    assert _interval("[1, 2] and [4, 6]", "[[1, 2], [4, 6]]") == (Outcome.RIGHT, 1.0)
    assert _interval("[20, 10]")[0] is Outcome.UNREAD
    assert _interval("10 to 20 or 30 to 40")[0] is Outcome.UNREAD
    for gold in ("", "[]", "[5, 5]", "[7, 3]", "soon"):
        assert grade("<answer>1 to 2</answer>", Answer(AnswerKind.INTERVAL, gold)).unread is Unread.GOLD, gold


FRAMES = [
    ("[1, 5, 9]", {1, 5, 9}),
    ("1, 5 and 9", {1, 5, 9}),
    ("frames 1 5 9", {1, 5, 9}),
    ("Frame 5; frame 1; frame 5", {1, 5}),
    ('["1.5", "3"]', {1.5, 3}),
    ("第1帧、第5帧", {1, 5}),
    ("7", {7}),
    ("", None),
    ("1-5", None),  # a range is not a list
    ("-3, 5", None),
    ("1.2.3", None),
    ("1, 5 or 9", None),
    ("nan", None),
]


@pytest.mark.parametrize(("text", "frames"), FRAMES)
def test_frame_lists(text: str, frames: set[float] | None) -> None:
    assert parse_frames(text) == frames


def test_frame_verdicts() -> None:
    answer = Answer(AnswerKind.FRAMES, "[1, 5, 9]")
    right = grade("<answer>9, 5, 1</answer>", answer)
    half = grade("<answer>[1, 5, 7]</answer>", answer)
    assert (right.outcome, right.credit) == (Outcome.RIGHT, 1.0)
    assert (half.outcome, half.credit) == (Outcome.WRONG, 0.5)
    assert grade(r"\boxed{1} \boxed{5} \boxed{9}", answer).outcome is Outcome.RIGHT
    assert grade("<answer>1</answer>", Answer(AnswerKind.FRAMES, "[]")).unread is Unread.GOLD


BOXES = [
    "[10, 20, 30, 40]",
    "10, 20, 30, 40",
    "(10,20),(30,40)",
    "<box>(10,20),(30,40)</box>",
    "<|box_start|>(10,20),(30,40)<|box_end|>",
    '```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "dog 2"}]\n```',
    '{"box": [10.0, 20.0, 30.0, 40.0]}',
    "x1=10, y1=20, x2=30, y2=40",
    '{"x_min": 10, "y_min": 20, "x_max": 30, "y_max": 40}',
    "left: 10, top: 20, right: 30, bottom: 40",
    "[10 20 30 40]",
]


@pytest.mark.parametrize("text", BOXES)
def test_forms_of_a_box(text: str) -> None:
    assert parse_box(text) == (10, 20, 30, 40)


NO_BOX = [
    *("", "[10, 20, 30]", "[10, 20, 30, 40, 50]", "the dog"),
    *("[30, 20, 10, 40]", "[10, 20, 10, 40]", "[10, 40, 30, 40]"),  # degenerate
    *("[nan, 0, 1, 1]", "[0, 0, inf, 1]", "[0, 0, 1e9, 1]"),
    *("[1,2,3,4] or [5,6,7,8]", '[{"bbox_2d": [1,2,3,4]}, {"bbox_2d": [5,6,7,8]}]', "not [1, 2, 3, 4]"),
]


@pytest.mark.parametrize("text", NO_BOX)
def test_what_is_no_box(text: str) -> None:
    assert parse_box(text) is None


def test_box_iou_and_verdicts() -> None:
    assert box_iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert box_iou((0, 0, 10, 10), (5, 5, 15, 15)) == pytest.approx(25 / 175)
    assert box_iou((0, 0, 10, 10), (20, 20, 30, 30)) == 0.0
    assert box_iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0
    answer = Answer(AnswerKind.BOX, "[0, 0, 10, 10]")
    half = grade("<answer>[0, 0, 10, 5]</answer>", answer)
    assert (half.outcome, half.credit) == (Outcome.RIGHT, 0.5)
    assert grade("<answer>[0, 0, 10, 4.9]</answer>", answer).outcome is Outcome.WRONG
    assert grade("<answer>[5, 5, 1, 1]</answer>", answer).unread is Unread.PREDICTION
    assert grade("<answer>[0, 0, 1, 1]</answer>", Answer(AnswerKind.BOX, "[0, 0, 0, 1]")).unread is Unread.GOLD
