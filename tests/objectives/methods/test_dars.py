"""More rollouts for hard prompts: numbers by hand, groups of unlike size from the real engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.dars import Dars, extra_rollouts
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))


@pytest.mark.parametrize(
    ("num_right", "treatment", "extra"),
    [
        # p = 1/8, S = 7/32: (4 - 8 S) / S = 72/7 = 10.3 with P = 4, (7 - 8 S) / S = 24 exactly with P = 7
        (1, "equal", 11),
        (1, "hardness", 24),
        # p = 2/8, S = 3/8: (4 - 3) / S = 8/3, and (6 - 3) / S = 8
        (2, "equal", 3),
        (2, "hardness", 8),
        # p = 3/8, S = 15/32: (4 - 3.75) / S = 8/15, and (5 - 3.75) / S = 8/3
        (3, "equal", 1),
        (3, "hardness", 3),
        # nobody: p = 1/16, S = 15/128: (4 - 0.9375) / S = 26.1, more than 32 - 8
        (0, "equal", 24),
        (0, "hardness", 24),
        (4, "hardness", 0),
        (8, "hardness", 0),
    ],
)
def test_extra_rollouts_by_hand(num_right: int, treatment: Any, extra: int) -> None:
    assert extra_rollouts(8, num_right, treatment, 32) == extra


def test_extra_rollouts_at_the_edges() -> None:
    assert extra_rollouts(8, 0, "equal", 64) == 27  # 26.1 rounded up, now below the bound
    assert extra_rollouts(40, 1, "equal", 32) == 0  # more than the bound already
    assert extra_rollouts(1, 0, "equal", 32) == 0  # 0 of 1 counts as one half


def test_groups_grow_by_hardness(bench: Any) -> None:
    """The verifier solves no answer to q0, one of eight to q1, all to q2."""
    groups = bench.groups(bench.questions(3), 8)
    lucky = groups[1].rollouts[5].ids
    assert sum(rollout.ids == lucky for rollout in groups[1].rollouts) == 1
    ctx = bench.context(8, lambda rollout, sample: sample.id == "q2" or rollout.ids == lucky)
    first = [list(group.rollouts) for group in groups]
    bench.engine.prefills = 0
    method = Dars(Dars.Settings(treatment="equal"))
    grown = method.roll(groups, ctx)
    assert [len(group.rollouts) for group in grown] == [32, 19, 8]
    assert [group.rollouts[:8] for group in grown] == first
    assert bench.engine.prefills == 2  # a prompt once, however many rollouts
    for group in grown:
        assert {rollout.prompt_ids for rollout in group.rollouts} == {tuple(group.prompt.ids)}
        assert len({rollout.ids for rollout in group.rollouts}) > len(group.rollouts) // 2  # not the first ones again
        assert all(len(rollout.entropies) == len(rollout.ids) for rollout in group.rollouts)
    assert ctx.logged == {"method/dars/enlarged": 2.0, "method/dars/added": 35.0, "method/dars/rescued": 0.0}


def test_a_resumed_step_draws_the_same(bench: Any) -> None:
    made = []
    for seed in (7, 7, 8):
        groups = Dars().roll(bench.groups(bench.questions(2), 4), bench.context(4, lambda r, s: False, seed=seed))
        made.append([rollout.ids for group in groups for rollout in group.rollouts])
    assert made[0] == made[1] != made[2]


def test_a_rescue_is_counted_and_easy_groups_cost_nothing(bench: Any) -> None:
    groups = bench.groups(bench.questions(1), 2)
    known = {rollout.ids for rollout in groups[0].rollouts}
    ctx = bench.context(2, lambda rollout, sample: rollout.ids not in known)
    Dars().roll(groups, ctx)
    assert ctx.logged["method/dars/rescued"] == 1.0
    bench.engine.prefills = 0
    Dars().roll(groups, bench.context(2, lambda rollout, sample: True))
    assert bench.engine.prefills == 0


def test_the_advantage_is_over_the_enlarged_group_without_deviation() -> None:
    rollout = Rollout((1,), (2, 3), (-1.0, -1.0), "", Stop.EOS)
    rewards = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.1, 0.1, 0.1]
    batch = make_batch([rollout] * 10, [SAMPLE] * 10, [0] * 5 + [1] * 2 + [2] * 3, rewards, [0.0] * 10)
    ctx = Context(1, 10, 0, 2, Sampling())
    expected = [0.8, -0.2, -0.2, -0.2, -0.2, 0.5, -0.5, 0.0, 0.0, 0.0]
    torch.testing.assert_close(Dars().estimate(batch, ctx), torch.tensor(expected, dtype=torch.float64))
