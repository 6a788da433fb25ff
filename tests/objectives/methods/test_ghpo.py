"""Prompts that nobody solved get the beginning of a solution: which, how much, and what is trained then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mmreason.errors import UserError
from mmreason.objectives.methods.ghpo import Ghpo, beginning, solution_of
from mmreason.records import Message, Role, Rollout

SOLUTION = "the wages are three; the rent is one"  # 36 characters: shares of 9, 18, 27


def test_beginnings_by_hand() -> None:
    assert [beginning(SOLUTION, share) for share in (0.25, 0.5, 0.75)] == [
        "the wages",
        "the wages are thre",
        "the wages are three; the re",
    ]
    assert beginning("x", 0.25) == "x"


def has(bench: Any, rollout: Rollout, share: float) -> bool:
    hint = beginning(SOLUTION, share)
    return hint in bench.engine.codec.decode(list(rollout.prompt_ids))


def test_the_hint_grows_until_somebody_succeeds(bench: Any) -> None:
    """q0 needs half of the solution, q1 none, q2 is beyond help."""
    groups = bench.groups(bench.questions(3, solution=SOLUTION), 4)
    before = [(group.prompt, list(group.rollouts)) for group in groups]
    ctx = bench.context(4, lambda r, s: s.id == "q1" or (s.id == "q0" and has(bench, r, 0.5)))
    q0, q1, q2 = Ghpo().roll(groups, ctx)
    text = bench.engine.codec.decode(q0.prompt.ids)
    assert "the rent " in text and beginning(SOLUTION, 0.5) in text and beginning(SOLUTION, 0.75) not in text
    assert len(q0.rollouts) == 4
    for rollout in q0.rollouts:  # sampled and trained contexts are equal: an ordinary row
        assert rollout.prompt_ids == tuple(q0.prompt.ids)
        assert rollout.same_context and not rollout.external
        assert len(rollout.logprobs) == len(rollout.entropies) == len(rollout.ids)
    assert q0.sample.question == groups[0].sample.question == "the rent "
    assert [(group.prompt, group.rollouts) for group in (q1, q2)] == before[1:]
    assert ctx.logged == {
        "method/ghpo/failed": 2.0,
        "method/ghpo/rescued": 1.0,
        "method/ghpo/rescued_at_0.25": 0.0,
        "method/ghpo/rescued_at_0.5": 1.0,
        "method/ghpo/rescued_at_0.75": 0.0,
        "method/ghpo/unsolved": 1.0,
    }


def test_solved_groups_cost_nothing(bench: Any) -> None:
    groups = bench.groups(bench.questions(2), 2)  # no solutions, and none are asked for
    bench.engine.prefills = 0
    Ghpo().roll(groups, bench.context(2, lambda r, s: True))
    assert bench.engine.prefills == 0


def test_a_cold_start_has_one_fixed_share(bench: Any) -> None:
    method = Ghpo(Ghpo.Settings(cold_start=2))
    for step, shares in ((2, {0.5}), (3, {0.25, 0.5, 0.75})):
        ctx = bench.context(2, lambda r, s: False, step=step)
        method.roll(bench.groups(bench.questions(1, solution=SOLUTION), 2), ctx)
        tried = {float(key.rpartition("_")[2]) for key in ctx.logged if "rescued_at" in key}
        assert tried == shares


def test_a_resumed_step_draws_the_same(bench: Any) -> None:
    made = []
    for seed in (7, 7, 8):
        ctx = bench.context(4, lambda r, s: has(bench, r, 0.25), seed=seed)
        group = Ghpo().roll(bench.groups(bench.questions(1, solution=SOLUTION), 4), ctx)[0]
        made.append([rollout.ids for rollout in group.rollouts])
    assert made[0] == made[1] != made[2]


def test_a_missing_solution_names_the_sample(bench: Any) -> None:
    groups = bench.groups(bench.questions(1), 2)
    with pytest.raises(UserError, match="sample q0: ghpo needs a reference solution"):
        Ghpo().roll(groups, bench.context(2, lambda r, s: False))


def test_solutions_of_metadata_and_evidence(bench: Any) -> None:
    sample = bench.questions(1)[0]
    assert solution_of(replace(sample, evidence={"solution": " b "})) == "b"
    assert solution_of(replace(sample, metadata={"solution": "a"}, evidence={"solution": "b"})) == "a"


def test_the_hint_stands_in_the_last_user_turn(bench: Any) -> None:
    """After the pictures and words of that turn, whatever was said before."""
    sample = bench.questions(1, solution=SOLUTION)[0]
    turns = (
        Message.of(Role.SYSTEM, "be brief"),
        Message.of(Role.USER, "one"),
        Message.of(Role.ASSISTANT, "two"),
        Message.of(Role.USER, "three"),
    )
    talk = replace(sample, messages=turns)
    ctx = bench.context(1, lambda rollout, sample: len(rollout.prompt_ids) > len(plain))
    groups = bench.groups([talk], 1)
    plain = groups[0].prompt.ids
    text = bench.engine.codec.tokenizer.decode(Ghpo().roll(groups, ctx)[0].prompt.ids)
    assert text.index("one") < text.index("two") < text.index("three") < text.index("the wages")
    assert text.count("<|im_end|>") == 4 and text.endswith("assistant\n")
    silent = replace(sample, id="s", messages=(Message.of(Role.SYSTEM, "x"),))
    with pytest.raises(UserError, match="sample s has no user turn"):
        Ghpo().roll(bench.groups([silent], 1), bench.context(1, lambda r, s: False))
