"""Buckets, target lengths and the bonus, against numbers worked out by hand."""

from __future__ import annotations

import json

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.laser_d import LaserD, buckets, shortest_target
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
SMALL = LaserD.Settings(grid=2, shortest=2, longest=8, every=2, window=2)


def make(lengths: list[int], groups: list[int], correct: list[float]) -> Batch:
    rows = [Rollout((1,), (5,) * n, (0.0,) * n, "", Stop.EOS) for n in lengths]
    return make_batch(rows, [SAMPLE] * len(rows), groups, correct, correct)


def fresh(step: int = 1) -> Context:
    return Context(step=step, total=9, seed=0, group_size=3, sampling=Sampling())


def test_buckets_by_pass_rate() -> None:
    rates = torch.tensor([1.0, 2 / 3, 0.66, 1 / 3, 0.33, 0.0], dtype=torch.float64)
    assert buckets(rates).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("expected", "target"),
    [
        (5, 2048),  # coverage 1/10 at 1024 leaves 0.5; 2/10 at 2048 leaves 1.0
        (2, 4096),  # needs half: 5/10 at 4096
        (1, 8192),  # needs all
    ],
)
def test_the_shortest_target_by_hand(expected: int, target: int) -> None:
    """Ten right answers: 1, 1, 1, 2, 5 in cells up to 1024, 2048, 3072, 4096, 8192 and none beyond."""
    assert shortest_target([1024, 2048, 3072, 4096, 8192], [1, 1, 1, 2, 5, 0], expected) == target


def test_right_answers_beyond_the_grid_leave_the_longest() -> None:
    assert shortest_target([2, 4], [1, 0, 9], 1) == 4


def test_the_bonus_goes_by_the_buckets_target() -> None:
    """Group 0 is easy (3 of 3, target 4), group 1 hard (0 of 2, target 8)."""
    method = LaserD(SMALL)
    method.load({"targets": [4, 6, 8], "window": []})
    batch = make([3, 4, 5, 8, 9], [0, 0, 0, 1, 1], [1, 1, 1, 0, 0])
    assert method.reward(batch, fresh()).tolist() == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert method.gate == "if_ok" and method.weight(fresh()) == 0.5


def test_targets_follow_the_rollouts() -> None:
    """G = 3, so n = 2, 1, 1. Easy group: right answers of 1, 3, 7 tokens: coverage 2/3 at 4 leaves 4/3: target 4.

    Middle group (1 of 3): its one right answer has 5 tokens, covered from 6 on. Nothing hard is right: 8 stays. The
    second step is the second of `every`; it brings the same rows, filtered to nothing by then.
    """
    method = LaserD(SMALL)
    batch = make([1, 3, 7, 5, 2, 2], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0])
    for step in (1, 2):
        ctx = fresh(step)
        method.reward(batch, ctx)
        method.reward(batch, ctx)  # a refill scores all rows of the step again
        method.observe(batch.take([]), ctx)
        assert method.targets == ([8, 8, 8] if step == 1 else [4, 6, 8])
    assert ctx.logged == {
        "method/laser_d/within": 1.0,
        "method/laser_d/target_easy": 8.0,
        "method/laser_d/target_middle": 8.0,
        "method/laser_d/target_hard": 8.0,
    }
    assert [[sum(bucket) for bucket in step] for step in method.window] == [[3, 1, 0], [3, 1, 0]]


def test_a_step_without_right_answers_keeps_the_targets() -> None:
    method, ctx = LaserD(SMALL), fresh(2)
    method.load({"targets": [4, 6, 8], "window": []})
    batch = make([3], [0], [0])
    assert method.reward(batch, ctx).tolist() == [1.0]
    method.observe(batch, ctx)
    assert method.targets == [4, 6, 8] and ctx.logged["method/laser_d/within"] == 0.0


def test_state_round_trip_through_json() -> None:
    method, resumed = LaserD(SMALL), LaserD(SMALL)
    batch = make([1, 3, 7], [0, 0, 0], [1, 1, 1])
    method.reward(batch, fresh(1))
    method.observe(batch, fresh(1))
    resumed.load(json.loads(json.dumps(method.state())))
    for each in (method, resumed):
        each.reward(batch, fresh(2))
        each.observe(batch, fresh(2))
    assert method.targets == resumed.targets == [4, 8, 8] and method.state() == resumed.state()
