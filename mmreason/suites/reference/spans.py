"""Times in answers: what the scorers of moments and of grounded questions share.

An answer to a grounded question is `<answer><time>[start, end]</time>\\boxed{letter}</answer>`, one to a question for
a moment `<answer>\\boxed{[[start, end]]}</answer>`. Temporal-R1's JSON object with start_time and end_time is read too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mmreason.records import Sample
from mmreason.rewards.extract import after_thinking, read_answer
from mmreason.rewards.grounded import names_times, read_grounded
from mmreason.rewards.times import Interval, merge, parse_intervals, temporal_iou

THRESHOLDS = (0.3, 0.5, 0.7)


def grounded(letter: str, windows: Sequence[Sequence[float]]) -> str:
    """The answer to a grounded question as one output; without windows, or without a letter, what there is."""
    time = f"<time>{json.dumps([list(window) for window in windows])}</time>" if windows else ""
    box = f"\\boxed{{{letter}}}" if letter else ""
    return f"<answer>{time}{box}</answer>"


def said_windows(output: str | None) -> list[Interval] | None:
    """The windows that an output states, first the one it names first; None if it states none that make sense."""
    text = _stated(output)
    if text and names_times(text):
        window = read_grounded(text).window
        return None if window is None else [window]
    return parse_intervals(text) if text else None


def raw_windows(output: str | None) -> list[Interval] | None:
    """As `said_windows`, but JSON lists of pairs as they are: reversed, negative or empty windows included."""
    text = _stated(output)
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return parse_intervals(text)
    pairs = [value] if _is_pair(value) else value
    if isinstance(pairs, list) and pairs and all(map(_is_pair, pairs)):
        return [(float(start), float(end)) for start, end in pairs]
    return parse_intervals(text)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, int | float) for one in value)


def _stated(output: str | None) -> str | None:
    """The last `<time>` block behind the reasoning, else the answer."""
    if output is None:
        return None
    head, closed, _ = (after_thinking(output) or "").rpartition("</time>")
    _, opened, block = head.rpartition("<time>")
    return block.strip() if opened and closed else read_answer(output, lenient=True).text


def gold_windows(sample: Sample) -> list[Interval]:
    """The windows of a moment, or those that show the answer to a grounded question."""
    windows = sample.evidence["windows"] if "windows" in sample.evidence else json.loads(sample.answer.gold)
    return [(float(start), float(end)) for start, end in windows]


def clipped(windows: Sequence[Interval], sample: Sample) -> list[Interval]:
    """The windows cut to the video, where its length is known; those outside vanish."""
    length = sample.metadata.get("duration", float("inf"))
    cut = [(min(max(start, 0.0), length), min(max(end, 0.0), length)) for start, end in windows]
    return [(start, end) for start, end in cut if start < end]


def one_window_iou(output: str | None, sample: Sample, cut: bool = False) -> float:
    """IoU of the one window of an output with the gold; 0 for none, and for several where the gold is one."""
    said, gold = said_windows(output) or [], gold_windows(sample)
    said = clipped(said, sample) if cut else said
    if len(merge(gold)) == 1 and len(merge(said)) > 1:
        return 0.0
    return temporal_iou(said, gold)


def recalls(ious: Sequence[float]) -> dict[str, float]:
    """Mean IoU, and the share of questions at or above each threshold."""
    count = len(ious) or 1
    shares = {f"R1@{level}": sum(iou >= level for iou in ious) / count for level in THRESHOLDS}
    return {"mIoU": sum(ious) / count, **shares}
