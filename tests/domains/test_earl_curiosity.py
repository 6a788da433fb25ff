"""Pixel Reasoner's bonus by hand: its known largest value, and what a second call and a failed one cost."""

from __future__ import annotations

from typing import Any

import pytest

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import load_methods
from mmreason.objectives.method import Context
from mmreason.project import project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q7", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))


def group(*kinds: list[str], correct: float = 1.0) -> Batch:
    """One answer for each list of what its turns were."""
    told = [{"turns": [{"kind": kind} if kind else {} for kind in turns]} for turns in kinds]
    rollouts = [Rollout((1,), (number,), (0.0,), "", Stop.EOS, extras=extras) for number, extras in enumerate(told)]
    size = len(rollouts)
    return make_batch(rollouts, [SAMPLE] * size, [0] * size, [correct] * size, [correct] * size)


def bonus(batch: Batch, **settings: Any) -> list[float]:
    (active,) = load_methods([{"earl/curiosity.py:Curiosity": settings}], project_dir() / "domains" / "video")
    ctx = Context(1, 9, 0, 8, Sampling())
    made: list[float] = active.method.reward(batch, ctx).tolist()
    assert ctx.logged["method/curiosity/bonus"] == pytest.approx(sum(made) / len(made))
    return made


def test_one_of_eight_earns_most() -> None:
    """The largest bonus of the code's form; in the paper's 0.5 (0.3 - 0.125)."""
    batch = group(["call", ""], *[[""]] * 7)
    assert bonus(batch, form="code") == pytest.approx([0.175 / 1.5 * 0.25 / 0.125, *[0.0] * 7])
    assert bonus(batch) == pytest.approx([0.0875, *[0.0] * 7])


def test_enough_calls_earn_nothing_and_a_second_one_costs() -> None:
    batch = group(["call", ""], ["call", "call", ""])
    assert bonus(batch) == pytest.approx([0.0, -0.05]) == bonus(batch, form="code")


def test_a_right_answer_on_a_failed_call_earns_nothing_in_the_codes_form() -> None:
    batch = group(["error", ""], ["error", "call", ""])
    assert bonus(batch, form="code") == pytest.approx([-1.0, -0.05])
    assert bonus(batch) == pytest.approx([0.0, -0.05])
    assert bonus(group(["error", ""], correct=0.0), form="code") == [0.0]


def test_nobody_calls() -> None:
    assert bonus(group([""], [""]), form="code") == [0.0, 0.0]
