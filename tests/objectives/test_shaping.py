"""Rewards, kept groups and shared beginnings on numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim, Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import Active, Composition
from mmreason.objectives.method import Context, Method
from mmreason.objectives.shaping import keep_groups, overlong_penalty, shape_rewards, shared_prefix_weights
from mmreason.records import Answer, AnswerKind, Rollout, Sample, Segment, SegmentKind, Source, Stop

F64 = torch.float64


def grpo(**values: Any) -> GrpoSettings:
    return GrpoSettings(optim=Optim(lr=1e-6), steps=100, **values)


def context(limit: int = 256) -> Context:
    return Context(step=1, total=10, seed=0, group_size=2, sampling=Sampling(max_new_tokens=limit))


def rollout(length: int = 2, **values: Any) -> Rollout:
    ids = tuple(range(10, 10 + length))
    return Rollout((1,), ids, (-1.0,) * length, "", values.pop("stop", Stop.EOS), **values)


def sample(name: str) -> Sample:
    return Sample(name, Source("d", "train", "x", name), (), Answer(AnswerKind.NUMBER, "1"))


def batch(
    correct: list[float], group: list[int] | None = None, rollouts: list[Rollout] | None = None, reward: Any = None
) -> Batch:
    """One row a verdict, rewarded with it; two rows a group unless told."""
    group = group or [row // 2 for row in range(len(correct))]
    rows = rollouts or [rollout() for _ in correct]
    return make_batch(rows, [sample(f"q{number}") for number in group], group, reward or correct, correct)


def term(
    values: Any, combine: str = "add", gate: str = "always", weight: float = 1.0, kind: type[Method] = Method
) -> Method:
    """A method whose reward term is `values`."""
    hooks = {
        "combine": combine,
        "gate": gate,
        "reward": lambda self, batch, ctx: torch.tensor(values, dtype=F64) if isinstance(values, list) else values,
        "weight": lambda self, ctx: weight,
    }
    return type("Term", (kind,), hooks)()


def together(**methods: Method) -> Composition:
    return Composition([Active(name, method) for name, method in methods.items()])


def test_terms_join_in_the_order_replace_mul_add() -> None:
    """Declared the other way round. Row 0: (4 x 3) + 0.5 x 2 = 13; row 1: (5 x 3) + 0.5 x 6 = 18."""
    added, factor, replaced = term([2.0, 6.0], weight=0.5), term([3.0, 3.0], "mul"), term([4.0, 5.0], "replace")
    made = shape_rewards(batch([1.0, 0.0]), together(a=added, f=factor, r=replaced), grpo(), context())
    assert made.reward.tolist() == [13.0, 18.0]
    assert {name: value.tolist() for name, value in made.terms.items()} == {
        "a": [2.0, 6.0],
        "f": [3.0, 3.0],
        "r": [4.0, 5.0],
    }
    assert made.correct.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("combine", "gate", "expected"),
    [
        ("add", "always", [8.0, 9.0]),
        ("add", "if_ok", [8.0, 2.0]),
        ("add", "if_wrong", [1.0, 9.0]),
        ("mul", "if_ok", [7.0, 2.0]),
        ("mul", "if_wrong", [1.0, 14.0]),
        ("replace", "if_ok", [7.0, 2.0]),
        ("replace", "if_wrong", [1.0, 7.0]),
    ],
)
def test_gates(combine: str, gate: str, expected: list[float]) -> None:
    """Rewards 1 (right) and 2 (wrong), term 7 for both: outside its gate the reward stays what it was."""
    rows = batch([1.0, 0.0], reward=[1.0, 2.0])
    made = shape_rewards(rows, together(x=term([7.0, 7.0], combine, gate)), grpo(), context())
    assert made.reward.tolist() == expected


def test_gates_ask_the_verdict_not_the_shaped_reward() -> None:
    """The factor makes all rewards 0; the right row still gets its bonus."""
    methods = together(zero=term([0.0, 0.0], "mul"), bonus=term([1.0, 1.0], "add", "if_ok"))
    assert shape_rewards(batch([1.0, 0.0]), methods, grpo(), context()).reward.tolist() == [1.0, 0.0]


def test_a_term_outside_its_phase_is_not_asked() -> None:
    composition = Composition([Active("late", term(None), 2)])
    assert shape_rewards(batch([1.0, 0.0]), composition, grpo(), context()).reward.tolist() == [1.0, 0.0]


def test_replayed_rows_keep_the_reward_that_they_were_stored_with() -> None:
    rows = [rollout(), rollout(extras={"reward": 0.25, "advantage": 2.0})]
    made = shape_rewards(batch([1.0, 1.0], rollouts=rows), together(x=term([1.0, 1.0])), grpo(), context())
    assert made.reward.tolist() == [2.0, 0.25]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, ["NoneType", "q0", "2 answers"]),
        ([1.0, math.nan], ["nan", "q7", "row 1", "1 of 2"]),
        ([math.inf, 0.0], ["inf", "q0"]),
        ([1.0], ["[1]", "2 answers", "q7"]),
        ([1.0, 2.0, 3.0], ["[3]", "2 answers"]),
        (torch.zeros(2), ["torch.float32", "torch.float64 [2]"]),
        (torch.zeros(2, 1, dtype=F64), ["[2, 1]"]),
        (3.0, ["float", "q0"]),
    ],
)
def test_rewards_that_are_none_are_refused_by_name(values: Any, words: list[str]) -> None:
    rows = batch([1.0, 0.0], [0, 7])
    with pytest.raises(UserError) as refused:
        shape_rewards(rows, together(brevity=term(values)), grpo(), context())
    assert [word for word in ("method brevity", *words) if word not in str(refused.value)] == []
    assert "\n" not in str(refused.value)


def test_the_recipe_reward_is_checked_too() -> None:
    with pytest.raises(UserError, match=r"the recipe's reward gave nan .* sample q1"):
        shape_rewards(batch([1.0] * 4, reward=[1.0, 1.0, 1.0, math.nan]), Composition(), grpo(), context())


def test_overlong_penalty_of_dapo() -> None:
    """Limit 20, buffer 8: free up to 12, -1/8 at 13, -1/2 at 16, -1 at 20; tools and others' answers do not count."""
    tool = rollout(20, segments=(Segment(0, 12), Segment(12, 20, SegmentKind.TOOL)))
    rows = [*map(rollout, (12, 13, 16, 20)), tool, rollout(20, external=True)]
    found = overlong_penalty(batch([1.0] * 6, rollouts=rows), 20, 8)
    assert found.tolist() == [0.0, -0.125, -0.5, -1.0, 0.0, 0.0]
    made = shape_rewards(
        batch([1.0] * 6, rollouts=rows), Composition(), grpo(overlong_buffer=8, overlong_factor=0.5), context(20)
    )
    assert made.reward.tolist() == [1.0, 0.9375, 0.75, 0.5, 1.0, 1.0]
    assert made.terms["overlong"].tolist() == found.tolist()


def test_a_buffer_beyond_the_limit() -> None:
    with pytest.raises(UserError, match=r"overlong_buffer=4096 .* limit of 256 tokens.*set grpo.overlong_buffer=51"):
        shape_rewards(batch([1.0]), Composition(), grpo(overlong_buffer=4096), context(256))


def selecting(choose: Callable[[Batch], list[int]]) -> Method:
    return type("Selecting", (Method,), {"select": lambda self, batch, ctx: choose(batch)})()


def test_dynamic_sampling_keeps_mixed_groups() -> None:
    rows = batch([1, 1, 0, 1, 0, 0, 1, 0], [5, 5, 2, 2, 9, 9, 4, 4])
    assert keep_groups(rows, Composition(), grpo(), context()) == [5, 2, 9, 4]
    assert keep_groups(rows, Composition(), grpo(dynamic_sampling=3), context()) == [2, 4]


def test_what_methods_keep_is_cut_together() -> None:
    rows = batch([1, 1, 0, 1, 0, 0, 1, 0], [5, 5, 2, 2, 9, 9, 4, 4])
    methods = together(a=selecting(lambda batch: [2, 5]), b=selecting(lambda batch: [9, 2]))
    assert keep_groups(rows, methods, grpo(), context()) == [2]
    assert keep_groups(rows, together(a=selecting(lambda batch: [9, 4])), grpo(dynamic_sampling=1), context()) == [4]
    with pytest.raises(UserError, match=r"method a keeps the groups \[3\]"):
        keep_groups(rows, together(a=selecting(lambda batch: [3])), grpo(), context())


def test_rows_outside_the_statistics_do_not_make_a_group_mixed() -> None:
    """Group 0: one right own row and one replayed; 1: replayed alone; 2: right, and wrong only by the limit."""
    replayed = rollout(extras={"advantage": 1.0})
    rows = batch(
        [1, 0, 1, 1, 1, 0], None, [rollout(), replayed, replayed, replayed, rollout(), rollout(stop=Stop.LENGTH)]
    )
    assert keep_groups(rows, Composition(), grpo(dynamic_sampling=1), context()) == [1, 2]
    assert keep_groups(rows, Composition(), grpo(dynamic_sampling=1, overlong="mask"), context()) == [1]


def tree() -> Batch:
    """Two groups. In the first, row 1 leaves row 0 after 3 ids, row 2 leaves row 1 after 4; row 3 stands alone."""
    rows = [rollout(4), rollout(5, parent=0, fork=3), rollout(5, parent=1, fork=4), rollout(2)]
    other = [rollout(3), rollout(4, parent=0, fork=1)]
    order = [*rows[:2], other[0], rows[2], other[1], rows[3]]
    return batch([1.0] * 6, [7, 7, 3, 7, 3, 7], order)


def test_shared_tokens_weigh_once() -> None:
    """Ids 0..2 of rows 0, 1, 2 are one; id 3 is shared by rows 1 and 2. Group 3 is interleaved: its row 0 is row 2."""
    third, half = 1 / 3, 0.5
    expected = [
        [third, third, third, 1.0, 0.0],
        [third, third, third, half, 1.0],
        [half, 1.0, 1.0, 0.0, 0.0],
        [third, third, third, half, 1.0],
        [half, 1.0, 1.0, 1.0, 0.0],
        [1.0, 1.0, 0.0, 0.0, 0.0],
    ]
    torch.testing.assert_close(shared_prefix_weights(tree(), "divide"), torch.tensor(expected, dtype=F64))
    once = [
        [1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0, 1.0],
        [1.0, 1.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 1.0],
        [0.0, 1.0, 1.0, 1.0, 0.0],
        [1.0, 1.0, 0.0, 0.0, 0.0],
    ]
    assert shared_prefix_weights(tree(), "once").tolist() == once


def test_beginnings_that_are_not_trained_do_not_share() -> None:
    """The branch masks what it has from its parent: the parent trains it at full weight, the branch not at all."""
    masked = (Segment(0, 2, SegmentKind.INJECTED), Segment(2, 4))
    rows = batch([1.0, 0.0], None, [rollout(3), rollout(4, parent=0, fork=2, segments=masked)])
    assert shared_prefix_weights(rows, "divide").tolist() == [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]]


def test_without_forks_every_loss_token_weighs_one() -> None:
    rows = batch([1.0, 0.0], None, [rollout(1), rollout(3)])
    assert shared_prefix_weights(rows, "divide").tolist() == [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]


def test_a_parent_must_stand_before_its_branch() -> None:
    with pytest.raises(UserError, match="sample q0: answer 0 forks from answer 1"):
        shared_prefix_weights(batch([1.0, 0.0], None, [rollout(3, parent=1, fork=1), rollout(3)]), "divide")
