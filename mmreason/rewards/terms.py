"""The terms of the verifiable reward and how they make one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mmreason.config.recipe import RewardSettings
from mmreason.records import Answer, AnswerKind, Verdict
from mmreason.rewards.extract import has_thinking
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade, read

UNBOXED = frozenset(
    {
        *(AnswerKind.FREE, AnswerKind.SPAN, AnswerKind.SET, AnswerKind.PROGRAM),
        *(AnswerKind.INTERVAL, AnswerKind.BOX, AnswerKind.FRAMES, AnswerKind.OCR),
    }
)
"""Kinds whose answer block needs no box."""

Judge = Callable[[str, Answer], Verdict]
"""A model's verdict on the answer that was read from an output."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Each part of a reward, for logs and reports."""

    format: float
    """1.0 or 0.0."""
    accuracy: float
    """1.0 or 0.0."""
    reward: float
    verdict: Verdict
    format_why: str
    think_empty: bool
    """No reasoning: the think block is absent or holds no letter or digit."""
    parts: dict[str, float] = field(default_factory=dict)
    """Values of the terms that a domain declares, by reference."""


def combine(format_ok: float, accuracy: float, settings: RewardSettings) -> float:
    """product (paper and released code of DianJin-R1), weighted sum (a reproduction), or accuracy alone."""
    if settings.mode == "product":
        return format_ok * accuracy
    if settings.mode == "sum":
        return accuracy + settings.w_format * format_ok
    return accuracy


def score(
    text: str,
    answer: Answer,
    settings: RewardSettings,
    *,
    opened_think: bool = False,
    lenient: bool = False,
    table: list[list[str]] | None = None,
    judge: Judge | None = None,
) -> Terms:
    """Score one output. `judge` decides free answers that are not equal to the gold; without one they are wrong."""
    form = check_format(text, needs_box=answer.kind not in UNBOXED, opened_think=opened_think)
    verdict = grade(text, answer, opened_think=opened_think, lenient=lenient, table=table)
    if judge is not None and answer.kind is AnswerKind.FREE and verdict.unread is None and not verdict.score:
        reading = read(text, answer, opened_think=opened_think, lenient=lenient)
        verdict = judge(reading.text, answer) if reading.text and not reading.hedged else verdict
    reward = combine(float(form.ok), verdict.score, settings)
    return Terms(
        format=float(form.ok),
        accuracy=verdict.score,
        reward=reward,
        verdict=verdict,
        format_why=form.why,
        think_empty=not has_thinking(text, opened_think),
    )
