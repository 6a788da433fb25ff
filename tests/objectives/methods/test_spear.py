"""Good answers come back once, against the baseline of today, and tool calls pay less and less."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context, Forward
from mmreason.objectives.methods.spear import Spear, pack, unpack
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.records.rollout import Segment, SegmentKind

F64 = torch.float64
CODEC: Any = SimpleNamespace(encode=lambda sample: SimpleNamespace(media=()))


def sample(name: str) -> Sample:
    answer = Answer(AnswerKind.NUMBER, "1")
    return Sample(name, Source("own", "train", "MIT", name), (Message.of(Role.USER, "?"),), answer)


def row(*ids: int, calls: int = 1) -> Rollout:
    """`calls` replies of one token each, then what is left."""
    tools = tuple(Segment(n, n + 1, SegmentKind.TOOL, n) for n in range(calls))
    segments = (*tools, Segment(calls, len(ids), SegmentKind.MODEL, calls))
    return Rollout((1, 2), ids, (-0.5,) * len(ids), "text", Stop.EOS, segments)


def context(step: int) -> Context:
    return Context(step, 300, 0, 2, Sampling(), codec=CODEC)


def batch_of(rows: list[Rollout], names: list[str], rewards: list[float]) -> Batch:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return make_batch(rows, [sample(name) for name in names], [numbers[n] for n in names], rewards, rewards)


def step_once(method: Spear, step: int) -> Context:
    """Two groups: a has rewards 1 and 0, b has 3 and 1; the good ones are the first of each."""
    rows = [row(7, 8, 9), row(7, 7, 7), row(5, 6, calls=1), row(5, 5)]
    batch = batch_of(rows, ["a", "a", "b", "b"], [1.0, 0.0, 3.0, 1.0])
    advantage = torch.tensor([0.5, -0.5, 1.0, -1.0], dtype=F64).unsqueeze(1).expand(batch.mask.shape)
    ctx = context(step)
    method.remember(batch, advantage, ctx)
    return ctx


def settings(**values: Any) -> Spear:
    return Spear(Spear.Settings(**values))


def test_a_full_buffer_comes_back_against_todays_baseline() -> None:
    """Means 0.5 and 2, deviations 0.5 and 1: medians 1.25 and 0.75. A' = (3 - 1.25) / 0.75 = 7/3; a's is below 0."""
    method = settings(capacity=2)
    assert method.draw(context(1)) == []
    ctx = step_once(method, 1)
    assert ctx.logged == {"method/spear/stored": 2.0, "method/spear/held": 2.0}
    assert (method.means, method.deviations) == ([0.5, 2.0], [0.5, 1.0])
    (group,) = method.draw(context(2))
    assert method.draw(context(2))[0].rollouts == group.rollouts  # a second attempt of the step sees the same
    assert (group.sample, group.number, group.prompt.ids) == (sample("b"), -1, [1, 2])
    (back,) = group.rollouts
    assert back.extras == {"advantage": pytest.approx(7 / 3), "reward": 3.0, "spear": True}
    assert (back.ids, back.logprobs, back.trained) == ((5, 6), (-0.5, -0.5), [False, True])
    assert not back.external and back.same_context


def test_what_was_replayed_is_gone_and_not_stored_again() -> None:
    method = settings(capacity=2)
    step_once(method, 1)
    (group,) = method.draw(context(2))
    batch = batch_of(group.rollouts, ["b"], [3.0])
    ctx = context(2)
    method.remember(batch, torch.ones(1, 2, dtype=F64), ctx)
    assert method.rows == [] and len(method.means) == 2
    assert ctx.logged == {"method/spear/replayed": 1.0, "method/spear/stored": 0.0, "method/spear/held": 0.0}


def test_rows_age_and_the_newest_stay() -> None:
    method = settings(capacity=3, age=2)
    for step, held in ((1, [1, 1]), (2, [1, 2, 2])):  # four are too many, the oldest goes
        step_once(method, step)
        assert [kept["step"] for kept in method.rows] == held
    method = settings(capacity=99, age=2)
    for step in (1, 2, 3):
        step_once(method, step)
    assert [kept["step"] for kept in method.rows] == [2, 2, 3, 3]


def test_answers_without_tools_external_ones_and_losers_are_not_stored() -> None:
    rows = [row(1, 2, calls=0), Rollout((1,), (3,), (0.0,), "", Stop.EOS, external=True), row(1, 2)]
    batch = batch_of(rows, ["a", "a", "a"], [1.0, 1.0, 0.0])
    advantage = torch.tensor([[1.0], [1.0], [0.0]], dtype=F64).expand(3, 2)
    for tools_only, stored in ((True, 0), (False, 1)):
        method = settings(tools_only=tools_only)
        method.remember(batch, advantage, context(1))
        assert len(method.rows) == stored


def test_groups_without_variance_give_no_baseline() -> None:
    method = settings(capacity=1, tools_only=False)
    batch = batch_of([row(1, 2), row(1, 3)], ["a", "a"], [1.0, 1.0])
    method.remember(batch, torch.ones(2, 2, dtype=F64), context(1))
    assert method.rows and method.draw(context(2)) == []


def test_state_is_json_and_comes_back() -> None:
    method, other = settings(capacity=2), settings(capacity=2)
    step_once(method, 1)
    other.load(json.loads(json.dumps(method.state())))
    assert other.state() == method.state()
    assert other.draw(context(2))[0].rollouts == method.draw(context(2))[0].rollouts
    made = row(1, 2, 3)
    assert unpack(json.loads(json.dumps(pack(made))), {}) == made


def test_tool_calls_pay_at_first() -> None:
    """0.1 a call, 1 at most; half of it at step 100 of 200, nothing later."""
    rows = [row(1, calls=0), row(1, 2, calls=1), row(*range(13), calls=12)]
    assert Spear().reward(batch_of(rows, ["a"] * 3, [0.0] * 3), context(1)).tolist() == [0.0, 0.1, 1.0]
    weights = [Spear().weight(context(step)) for step in (100, 200, 250)]
    assert weights == pytest.approx([0.5, 0.0, 0.0])
    assert Spear().weight(context(50)) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_replayed_tokens_are_weighed_and_some_left_out() -> None:
    """Row 1 is replayed: A 1 on two tokens and 5 on two, logp -1 and 3 by turns, so cov = (A - 3)(l - 1) = 4 or -4.
    Two tokens lie in (2, 60), and of four a share of 0.25 is one."""
    method = settings(share=0.25)
    rows = [row(1, 2, 3, 4, calls=0), row(1, 2, 3, 4, calls=0)]
    rows[1].extras["spear"] = True
    batch = batch_of(rows, ["a", "b"], [1.0, 1.0])
    advantage = torch.tensor([[9.0] * 4, [1.0, 1.0, 5.0, 5.0]], dtype=F64)
    logp = torch.tensor([[9.0, -9.0, 9.0, -9.0], [-1.0, 3.0, -1.0, 3.0]], dtype=F64)
    ctx = context(50)
    out = method.shape(advantage, batch, Forward(logp, logp, logp), ctx)
    assert out.weight is not None and out.keep is not None
    assert out.weight.tolist() == [[1.0] * 4, pytest.approx([0.5] * 4)]  # half-way at step 50 of 100
    assert out.keep[0].all() and out.keep[1].tolist() in ([False, True, True, True], [True, True, True, False])
    assert ctx.logged == {"method/spear/left_out": 1.0}
    assert settings().shape(advantage, batch.take([0]), Forward(logp[:1], logp[:1], logp[:1]), ctx).keep.all()


def test_older_policies_need_a_weight() -> None:
    Spear().check(SimpleNamespace(mismatch="truncate"))
    with pytest.raises(UserError, match=r"grpo\.mismatch alone, which is off: set it to truncate"):
        Spear().check(SimpleNamespace(mismatch="off"))
