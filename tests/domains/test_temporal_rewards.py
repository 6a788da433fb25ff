"""Rewards of Temporal-R1: hand-made transcripts, as coded and as we read them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Outcome, Role, Rollout, Sample, Source, Stop, Unread
from mmreason.rewards.terms import Terms

rewards = load_module(project_dir() / "domains" / "video" / "temporal_r1" / "rewards.py")
THINK = "<think>it happens</think>"


def sample(kind: str, gold: tuple[float, float] = (10.0, 20.0), duration: float = 40.0) -> Sample:
    answers = {
        "when": Answer(AnswerKind.INTERVAL, f"[[{gold[0]}, {gold[1]}]]"),
        "what": Answer(AnswerKind.CHOICE, "B", {"A": "a dog", "B": "a cat"}),
        "grounded": Answer(AnswerKind.CHOICE, "B", {"A": "a dog", "B": "a cat"}),
    }
    return Sample(
        "s",
        Source("d", "train", "", "0"),
        (Message.of(Role.USER, "?"),),
        answers[kind],
        evidence={"windows": [list(gold)]},
        metadata={"family": kind, "duration": duration},
    )


def said(text: str, kind: str = "when", gold: tuple[float, float] = (10.0, 20.0), **settings: Any) -> Terms:
    rollout = Rollout((), (), (), text, Stop.EOS)
    terms: Terms = rewards.dual(rollout, sample(kind, gold), options={"temporal_r1": settings})
    return terms


def times(start: Any, end: Any) -> str:
    quote = '"' if isinstance(start, str) else ""
    return f'{THINK}<answer>{{"start_time": {quote}{start}{quote}, "end_time": {quote}{end}{quote}}}</answer>'


# text -> (format, tIoU) as coded, (format, tIoU) as we read it; gold 10 to 20 of 40 seconds
CASES: list[tuple[str, str, tuple[float, float], tuple[float, float]]] = [
    ("equal", times("10", "20"), (1, 1), (1, 1)),
    ("half", times("10", "15.0"), (1, 0.5), (1, 0.5)),
    ("beyond the end of the video, not clipped", times("10", "60"), (1, 0.2), (1, 0.2)),
    ("apart", times("25", "30"), (1, 0), (1, 0)),
    ("reversed", times("20", "10"), (1, 0), (1, 0)),
    ("no length", times("12", "12"), (1, 0), (1, 0)),
    ("numbers without quotes", times(10, 20), (0, 1), (0, 1)),
    ("two points", times("1.2.3", "20"), (1, 0), (0, 0)),
    ("a lone point", times(".", "20"), (1, 0), (0, 0)),
    ("seconds with s", times("10s", "20s"), (0, 0), (0, 1)),
    ("minutes", times("0:10", "0:20"), (0, 0), (0, 1)),
    ("minus", times("-10", "20"), (0, 1 / 3), (0, 0)),
    ("infinite", times("10", "Infinity"), (0, 0), (0, 0)),
    ("not a number", times("nan", "20"), (0, 0), (0, 0)),
    ("space before", " " + times("10", "20"), (0, 1), (1, 1)),
    ("text behind", times("10", "20") + " done", (0, 1), (0, 1)),
    ("no think block", times("10", "20").removeprefix(THINK), (0, 1), (0, 1)),
    ("empty think block", times("10", "20").replace("it happens", ""), (1, 1), (0, 1)),
    ("keys the other way round", f'{THINK}<answer>{{"end_time": "20", "start_time": "10"}}</answer>', (0, 1), (0, 1)),
    ("a third key", f'{THINK}<answer>{{"start_time": "10", "end_time": "20", "x": 1}}</answer>', (0, 1), (0, 1)),
    ("a key twice", times("1", '20", "start_time": "10'), (0, 1), (0, 0)),
    ("prose", f"{THINK}<answer>from 10 to 20 seconds</answer>", (0, 0), (0, 1)),
    ("two windows", f"{THINK}<answer>[[10, 20], [30, 35]]</answer>", (0, 0), (0, 0)),
    ("two blocks", times("30", "35") + times("10", "20").removeprefix(THINK), (0, 0), (0, 1)),
    ("a block in the thought", times("10", "20").replace("it happens", "<answer>1</answer> no"), (1, 0), (1, 1)),
    ("a hidden second thought", times("30", "35") + times("10", "20"), (1, 0), (0, 1)),
    ("never closed", times("10", "20").removesuffix("</answer>"), (0, 0), (0, 0)),
    ("never stops thinking", "<think>" + times("10", "20").removeprefix(THINK), (0, 1), (0, 0)),
    ("empty", "", (0, 0), (0, 0)),
    ("spaces inside the block", times("10", "20").replace("<answer>", "\n<answer>\n"), (1, 1), (1, 1)),
    ("a list in place of the object", f"{THINK}<answer>[10, 20]</answer>", (0, 0), (0, 1)),
    ("a million open tags", THINK + "<answer>" * 1_000_000, (0, 0), (0, 0)),
    ("a million thoughts", "</think><answer>" * 1_000_000 + times("10", "20"), (0, 0), (0, 1)),
    ("deep brackets", f"{THINK}<answer>{'[' * 100_000}</answer>", (0, 0), (0, 0)),
    ("ten thousand digits", times("1" * 10_000, "20"), (1, 0), (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "coded", "ours"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_moments(text: str, coded: tuple[float, float], ours: tuple[float, float]) -> None:
    for reading, (form, iou) in (("as_coded", coded), ("last", ours)):
        terms = said(text, reading=reading)
        assert (terms.format, terms.parts["temporal"]) == (form, pytest.approx(iou)), (reading, terms)
        assert terms.reward == pytest.approx(0.5 * iou + 0.5 * form)
        assert math.isfinite(terms.reward)


def test_a_gold_without_length_earns_nothing_as_coded() -> None:
    """0 / 0 in the original; ours calls the gold unreadable, which drops the question."""
    assert said(times("10", "10"), gold=(10.0, 10.0), reading="as_coded").parts["temporal"] == 0
    terms = said(times("10", "10"), gold=(10.0, 10.0))
    assert terms.verdict.unread is Unread.GOLD and terms.parts["temporal"] == 0


# text -> accuracy as coded, as we read it
CHOICES = [
    ("letter", f"{THINK}<answer>B</answer>", 1, 1),
    ("other letter", f"{THINK}<answer>A</answer>", 0, 0),
    ("letter and text", f"{THINK}<answer>B. a cat</answer>", 0, 1),
    ("block of two lines", f"{THINK}<answer>\nB\n</answer>", 0, 1),
    ("boxed", f"{THINK}<answer>\\boxed{{B}}</answer>", 0, 1),
    ("two blocks", f"{THINK}<answer>B</answer><answer>A</answer>", 1, 0),
    ("bare letter", "B", 1, 0),
    ("none", f"{THINK}I cannot say", 0, 0),
    ("a million open tags", THINK + "<answer>" * 1_000_000, 0, 0),
    ("a million thoughts", "<think>" + "</think><answer>" * 1_000_000, 0, 0),
]


@pytest.mark.parametrize(("text", "coded", "ours"), [case[1:] for case in CHOICES], ids=[case[0] for case in CHOICES])
def test_choices(text: str, coded: float, ours: float) -> None:
    assert said(text, "what", reading="as_coded").parts["semantic"] == coded
    terms = said(text, "what")
    assert terms.parts["semantic"] == ours and terms.parts["temporal"] == 0


def grounded(option: str, start: str, end: str) -> str:
    return f'{THINK}<answer>{{"option": "{option}", "start_time": "{start}", "end_time": "{end}"}}</answer>'


@pytest.mark.parametrize(
    ("option", "window", "dual", "expected"),
    [
        ("B", ("10", "20"), "mean", 1.0),
        ("B", ("10", "15"), "mean", 0.75),
        ("A", ("10", "15"), "mean", 0.25),
        ("B", ("10", "15"), "gated", 0.5),
        ("A", ("10", "20"), "gated", 0.0),
        ("B", ("30", "35"), "gated", 0.0),
        ("B", ("10", "15"), "sum", 1.5),
        ("A", ("10", "20"), "sum", 1.0),
    ],
)
def test_both_parts(option: str, window: tuple[str, str], dual: str, expected: float) -> None:
    terms = said(grounded(option, *window), "grounded", dual=dual)
    assert terms.parts["task"] == pytest.approx(expected) and terms.format == 1
    assert terms.reward == pytest.approx(0.5 * expected + 0.5)
    assert terms.accuracy == float(option == "B")


def test_what_selection_and_evaluation_see_of_a_grounded_answer() -> None:
    terms = said(grounded("B", "10", "15"), "grounded", dual="gated", temporal="threshold", threshold=0.7)
    assert (terms.parts["temporal"], terms.parts["task"], terms.verdict.credit) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temporal": "iou"}, 0.5),
        ({"temporal": "threshold", "threshold": 0.5}, 1.0),
        ({"temporal": "threshold", "threshold": 0.7}, 0.0),
        ({"temporal": "time_r1"}, 0.5 * (1 - 0 / 40) * (1 - 5 / 40)),
    ],
)
def test_kinds_of_temporal_credit(settings: dict[str, Any], expected: float) -> None:
    assert said(times("10", "15"), **settings).parts["temporal"] == pytest.approx(expected)


def test_the_share_of_the_format() -> None:
    assert said(times("10", "15"), format_weight=0.1).reward == pytest.approx(0.9 * 0.5 + 0.1)
    assert said(times(10, 15), format_weight=0.0).reward == pytest.approx(0.5)


def test_without_thinking_the_block_alone_is_the_form() -> None:
    bare = times("10", "20").removeprefix(THINK)
    assert said(bare, thinking=False).reward == 1.0
    assert said(times("10", "20"), thinking=False).format == 0


def test_verdicts_for_evaluation() -> None:
    assert said(times("10", "15")).verdict.outcome is Outcome.RIGHT
    assert said(times("10", "14")).verdict.outcome is Outcome.WRONG
    assert said(f"{THINK}<answer>soon</answer>").verdict.unread is Unread.PREDICTION


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UserError, match="temporal_r1"):
        said(times("10", "20"), dul="mean")
    with pytest.raises(UserError, match="threshold"):
        said(times("10", "20"), threshold=1.5)
