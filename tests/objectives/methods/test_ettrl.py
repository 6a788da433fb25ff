"""Votes in place of labels, trees of rollouts, and advantages by how certain an answer was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.ettrl import Ettrl, majority, mean_entropy
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.rollout import Segment, SegmentKind

SAMPLE = Sample("q", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "9"))
F64 = torch.float64


def context() -> Context:
    return Context(1, 10, 0, 4, Sampling())


def told(answer: str) -> str:
    return f"<think>so</think><answer>\\boxed{{{answer}}}</answer>"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([told("4"), told("5"), told("4")], [True, False, True]),
        ([told("0.50"), told("3"), told("0.5")], [True, False, True]),  # the verifier knows that they are equal
        ([told("5"), told("4")], [True, False]),  # a tie: the first
        ([told("4"), "nothing", "nothing", "nothing"], [True, False, False, False]),  # the unread do not vote
        (["nothing", "nothing"], [False, False]),
        ([], []),
    ],
)
def test_votes_by_hand(texts: list[str], expected: list[bool]) -> None:
    """The data set's gold, 9, plays no part."""
    assert majority(texts, SAMPLE.answer) == expected


def row(text: str, *entropies: float) -> Rollout:
    count = len(entropies)
    return Rollout((1,), tuple(range(count)), (-1.0,) * count, text, Stop.EOS, entropies=entropies)


def batch_of(rows: list[Rollout], group: list[int]) -> Batch:
    zeros = [0.0] * len(rows)
    return make_batch(rows, [SAMPLE] * len(rows), group, zeros, zeros)


def test_rewards_are_votes_of_each_group() -> None:
    rows = [row(told(answer), 1.0) for answer in ("4", "4", "5", "5", "4", "5")]
    ctx = context()
    reward = Ettrl().reward(batch_of(rows, [0, 0, 0, 1, 1, 1]), ctx)
    assert reward.tolist() == [1.0, 1.0, 0.0, 1.0, 0.0, 1.0] and reward.dtype == F64
    assert ctx.logged == {"method/ettrl/votes": 4.0}


def test_advantages_by_hand() -> None:
    """Mean entropies 1 and 3, group mean 2: factors 1 + 1/2 and 1 - 1/2. Then 0, 0 and 6: 2, 2 and 1 - 4/2 = -1."""
    rows = [row("", 0.5, 1.5), row("", 3.0), row("", 0.0), row("", 0.0), row("", 6.0, 6.0)]
    ctx = context()
    out = Ettrl().transform(torch.ones(5, 2, dtype=F64), batch_of(rows, [0, 0, 1, 1, 1]), ctx)
    assert out.tolist() == [[1.5, 1.5], [0.5, 0.5], [2.0, 2.0], [2.0, 2.0], [-1.0, -1.0]]
    assert ctx.logged == {"method/ettrl/turned": 1.0}


def test_certain_groups_and_single_rows_keep_their_advantage() -> None:
    rows = [row("", 0.0), row("", 0.0, 0.0), row("", 2.0), Rollout((1,), (), (), "", Stop.EOS)]
    out = Ettrl().transform(torch.ones(4, 2, dtype=F64), batch_of(rows, [0, 0, 1, 2]), context())
    assert out.tolist() == [[1.0, 1.0]] * 4


def test_mean_entropy_leaves_out_what_tools_wrote() -> None:
    pieces = (Segment(0, 1, SegmentKind.SHARED), Segment(1, 3, SegmentKind.TOOL), Segment(3, 4))
    made = Rollout((1,), (1, 2, 3, 4), (0.0,) * 4, "", Stop.EOS, pieces, entropies=(1.0, 0.0, 0.0, 2.0))
    assert mean_entropy(made) == 1.5


def test_trees_of_the_real_engine(bench: Any) -> None:
    method, ctx = Ettrl(), bench.context(14, lambda r, s: False)
    assert method.first(ctx) == 2
    groups = bench.groups(bench.questions(2), 2)
    roots = [list(group.rollouts) for group in groups]
    for group, own in zip(method.roll(groups, ctx), roots, strict=True):
        assert len(group.rollouts) == 14 and group.rollouts[:2] == own
        for place, made in enumerate(group.rollouts[2:]):
            assert len(made.ids) == len(made.entropies) <= 12
            if made.fork:
                assert made.parent == place // 6
                assert made.ids[: made.fork] == own[made.parent].ids[: made.fork]
                assert made.trained == [False] * made.fork + [True] * (len(made.ids) - made.fork)
    forked = [made for group in groups for made in group.rollouts if made.fork]
    assert ctx.logged["method/ettrl/branches"] == len(forked) > 0
    assert ctx.logged["method/ettrl/shared_tokens"] == sum(made.fork for made in forked)


def test_a_resumed_step_draws_the_same(bench: Any) -> None:
    made = []
    for seed in (7, 7, 8):
        group = Ettrl().roll(bench.groups(bench.questions(1), 2), bench.context(14, lambda r, s: False, seed=seed))[0]
        made.append([row.ids for row in group.rollouts])
    assert made[0] == made[1] != made[2]


def test_the_group_size_must_fit() -> None:
    Ettrl().check(SimpleNamespace(group_size=56))
    with pytest.raises(UserError, match=r"= 7 answers of each rollout, and grpo.group_size=16 is no multiple of it"):
        Ettrl().check(SimpleNamespace(group_size=16))
