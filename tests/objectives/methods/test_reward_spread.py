"""Groups kept by the spread of their rewards: by hand, apart from dynamic sampling, and drawn again in a real step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_batches import context, rollout, rows

from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim
from mmreason.models.encode import Example
from mmreason.objectives.batch import Batch
from mmreason.objectives.compose import compose
from mmreason.objectives.credit import advantages
from mmreason.objectives.method import Context
from mmreason.objectives.methods.reward_spread import RewardSpread
from mmreason.objectives.shaping import keep_groups
from mmreason.records import Rollout, Sample, Stop, Verdict
from mmreason.rewards.terms import Terms
from mmreason.rollout.collect import collect

# Two answers a group: all right and unlike, mixed, all wrong and alike, all right and nearly alike.
REWARD = [1.6, 1.1, 1.6, -1.0, -1.0, -1.0, 1.60, 1.59]
CORRECT = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]
GROUP = [5, 5, 2, 2, 9, 9, 4, 4]


def batch() -> Batch:
    made = rows([rollout(range(2)) for _ in REWARD], REWARD, GROUP)
    made.correct = torch.tensor(CORRECT, dtype=torch.float64)
    return made


def grpo(*methods: Any, **fields: Any) -> GrpoSettings:
    return GrpoSettings(optim=Optim(lr=1e-3), steps=3, methods=list(methods), **fields)


def kept(settings: GrpoSettings) -> list[int]:
    return keep_groups(batch(), compose(settings), settings, context())


SPREAD = "reward_spread"


def test_neither_filter_switches_the_other_on() -> None:
    """Mean distances: 0.25, 1.3, 0 and 0.005."""
    assert kept(grpo()) == [5, 2, 9, 4]
    assert kept(grpo(SPREAD)) == [5, 2]
    assert kept(grpo(dynamic_sampling=3)) == [2]
    assert kept(grpo(SPREAD, dynamic_sampling=3)) == [2]


@pytest.mark.parametrize(("least", "numbers"), [(0.0, [5, 2, 9, 4]), (0.005, [5, 2, 4]), (0.25, [5, 2]), (0.26, [2])])
def test_the_least_spread_is_enough(least: float, numbers: list[int]) -> None:
    assert kept(grpo({SPREAD: {"least": least - 1e-12 if least else 0.0}})) == numbers


def test_rows_outside_the_statistics_are_not_asked() -> None:
    """Group 0 differs only by a row that was cut; group 1 holds replayed rows alone."""
    replayed = rollout([1], extras={"advantage": 1.0})
    made = rows(
        [rollout([1]), Rollout((1,), (1,), (0.0,), "", Stop.LENGTH), replayed, replayed], [1, 0, 1, 1], [0, 0, 1, 1]
    )
    method = RewardSpread()
    assert method.select(made, context()) == [0, 1]
    method.check(SimpleNamespace(overlong="mask"))
    assert method.select(made, context()) == [1]


def test_how_loud_groups_of_right_answers_are() -> None:
    """r - m is +-0.25 in the right group and +-1.3 in the mixed one; divided by the deviation both are +-1."""
    made = batch().take([0, 1, 2, 3])
    for kind, share in (("centred", 0.25 / 1.55), ("group", 0.5)):
        settings, ctx = grpo(SPREAD, advantage=kind), context()
        given = advantages(made, settings, compose(settings), ctx)
        assert torch.equal(given, advantages(made, grpo(advantage=kind), compose(grpo()), context()))
        assert ctx.logged["method/reward_spread/all_right"] == pytest.approx(share, abs=1e-5)


def test_without_any_advantage_the_share_is_zero() -> None:
    ctx = context()
    RewardSpread().transform(torch.zeros(2, 2, dtype=torch.float64), batch().take([4, 5]), ctx)
    assert ctx.logged == {"method/reward_spread/all_right": 0.0}


def test_groups_are_drawn_again_until_the_step_is_full(bench: Any) -> None:
    """Every second prompt has answers of one reward; two that differ are wanted, four draws of two are allowed.

    All answers are right, so dynamic sampling would keep none of them.
    """

    def judge(rollout: Rollout, sample: Sample, progress: float = 1.0) -> Terms:
        reward = 1.0 + (rollout.ids[0] % 7) / 7 * (int(sample.id[1:]) % 2)
        return Terms(1.0, 1.0, reward, Verdict.right("4", "by rule"), "", False)

    examples = [Example(sample, bench.engine.codec.encode(sample), []) for sample in bench.questions(6)]
    settings = grpo({SPREAD: {"attempts": 4}}, prompts=2, group_size=4, sampling=bench.sampling)
    ctx = Context(1, 3, 7, 4, bench.sampling, engine=bench.engine, codec=bench.engine.codec, judge=judge)
    got = collect(examples, 0, 0, settings, compose(settings), ctx)
    drawn = {number: got.batch.samples[got.batch.rows_of(number)[0]].id for number in got.batch.numbers()}
    assert len(got.kept) == 2 and all(int(drawn[number][1:]) % 2 for number in got.kept)
    assert 1 < got.attempts <= 4 and len(drawn) == 2 * got.attempts == got.drawn
    surplus = [number for number in drawn if int(drawn[number][1:]) % 2][2:]
    assert ctx.logged["method/reward_spread/dropped"] == len(drawn) - 2 - len(surplus)
