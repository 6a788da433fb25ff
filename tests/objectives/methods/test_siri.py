"""The oscillating limit, and reward 0 for what it cuts."""

from __future__ import annotations

import pytest

from mmreason.config.recipe import Sampling
from mmreason.config.schedule import Schedule
from mmreason.objectives.batch import make_batch
from mmreason.objectives.method import Context, Trait
from mmreason.objectives.methods.siri import SIRI
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))


def at(step: int) -> Context:
    return Context(step=step, total=9, seed=0, group_size=2, sampling=Sampling())


@pytest.mark.parametrize(("step", "limit"), [(1, 16), (2, 14), (3, 8), (4, 2), (5, 0), (7, 8), (9, 16), (11, 8)])
def test_the_limit_over_a_period(step: int, limit: int) -> None:
    """Period 8 between 16 and 0: 8 + 8 cos(pi k / 4) is 16, 13.66, 8, 2.34, 0 for k = 0 .. 4; never below 1."""
    method = SIRI(SIRI.Settings(tokens=Schedule(kind="oscillate", start=16, end=0, steps=8)))
    assert method.limit(at(step)) == max(limit, 1)


def test_as_published() -> None:
    method = SIRI()
    assert [method.limit(at(step)) for step in (1, 76, 151, 301)] == [16384, 12288, 8192, 16384]


def test_cut_answers_count_nothing() -> None:
    stops = [Stop.EOS, Stop.LENGTH, Stop.ENVIRONMENT, Stop.CUT]
    rows = [Rollout((1,), (5,), (0.0,), "", stop) for stop in stops]
    batch = make_batch(rows, [SAMPLE] * 4, [0] * 4, [1.0] * 4, [1.0] * 4)
    method, ctx = SIRI(SIRI.Settings(tokens=12.0)), at(1)
    assert method.combine == "mul" and Trait.SCORES_TRUNCATED in method.traits
    assert method.reward(batch, ctx).tolist() == [1.0, 0.0, 1.0, 1.0]
    method.observe(batch, ctx)
    assert ctx.logged == {"method/siri/limit": 12.0, "method/siri/cut": 0.25}
