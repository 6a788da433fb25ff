"""Forks at uncertain tokens: where they may be, what branches hold, what of them is trained, and when it ends."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.objectives.batch import make_batch
from mmreason.objectives.branching import own_part, uncertain_places
from mmreason.objectives.methods.cure import Cure
from mmreason.records import Rollout, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rollout.engine import Asked, Request


def encode(bench: Any, text: str) -> list[int]:
    return list(bench.engine.codec.tokenizer.encode(text, add_special_tokens=False))


def test_places_by_hand(bench: Any) -> None:
    """Neither an end of turn nor a letter by itself; the rest by entropy."""
    codec = bench.engine.codec
    ids = [*encode(bench, " the rent"), *encode(bench, "x"), *encode(bench, " wages"), codec.eos_id]
    assert len(ids) == 5
    entropies = (1.0, 3.0, 9.0, 2.0, 9.0)
    row = Rollout((1,), tuple(ids), (-1.0,) * 5, "", Stop.EOS, entropies=entropies)
    assert uncertain_places(row, 20, codec, 12, "q") == [1, 3, 0]
    assert uncertain_places(row, 2, codec, 12, "q") == [1, 3]
    assert uncertain_places(row, 20, codec, 3, "q") == [1, 0]  # a branch must have room below the limit
    tool = replace(row, segments=(Segment(0, 2, SegmentKind.TOOL), Segment(2, 5)))
    assert uncertain_places(tool, 20, codec, 12, "q") == [3]  # the policy's own tokens alone


def test_rows_without_entropies_are_refused(bench: Any) -> None:
    row = Rollout((1,), (2, 3), (0.0, 0.0), "", Stop.EOS, external=True)
    with pytest.raises(UserError, match="sample q: 0 entropies for 2 tokens"):
        uncertain_places(row, 20, bench.engine.codec, 12, "q")


def test_a_branch_trains_what_it_wrote_itself() -> None:
    pieces = (Segment(0, 2), Segment(2, 3, SegmentKind.TOOL), Segment(3, 6, SegmentKind.MODEL, 1))
    row = Rollout((1,), tuple(range(6)), (0.0,) * 6, "", Stop.EOS, pieces, parent=0, fork=4)
    assert own_part(row).trained == [False, False, False, False, True, True]
    assert own_part(row).pieces == (
        Segment(0, 2, SegmentKind.SHARED),
        Segment(2, 3, SegmentKind.TOOL),
        Segment(3, 4, SegmentKind.SHARED, 1),
        Segment(4, 6, SegmentKind.MODEL, 1),
    )


def test_groups_of_the_real_engine(bench: Any) -> None:
    ctx = bench.context(16, lambda r, s: False)
    method = Cure(Cure.Settings(stage_two=5))
    assert method.first(ctx) == 4
    groups = bench.groups(bench.questions(2), method.first(ctx))
    roots = [list(group.rollouts) for group in groups]
    codec = bench.engine.codec
    for group, own in zip(method.roll(groups, ctx), roots, strict=True):
        assert len(group.rollouts) == 16 and group.rollouts[:4] == own
        for place, row in enumerate(group.rollouts[4:]):
            parent = own[place // 3]
            assert row.prompt_ids == tuple(group.prompt.ids)
            assert len(row.ids) == len(row.logprobs) == len(row.entropies) <= 12
            assert row.text == codec.decode(list(row.ids))
            assert row.stop is (Stop.EOS if row.ids[-1] == codec.eos_id else Stop.LENGTH)
            if row.fork == 0:
                assert row.parent == -1 and all(row.trained)
                continue
            assert row.parent == place // 3 and row.fork in uncertain_places(parent, 20, codec, 12, "q")
            assert row.ids[: row.fork] == parent.ids[: row.fork]
            assert row.logprobs[: row.fork] == parent.logprobs[: row.fork]
            assert row.trained == [False] * row.fork + [True] * (len(row.ids) - row.fork)
    forked = [row for group in groups for row in group.rollouts if row.fork]
    assert len(forked) > 12
    assert ctx.logged["method/cure/branches"] == len(forked)
    assert ctx.logged["method/cure/shared_tokens"] == sum(row.fork for row in forked)
    assert ctx.logged["method/cure/branch_tokens"] == sum(len(row.ids) - row.fork for row in forked)


def test_a_continuation_has_the_probabilities_of_its_whole_context(bench: Any) -> None:
    """Asked again from the prompt with the branch's ids begun up to each place, the engine says the same entropy."""
    ctx = bench.context(16, lambda r, s: False)
    group = Cure().roll(bench.groups(bench.questions(1), 4), ctx)[0]
    row = next(row for row in group.rollouts if 0 < row.fork < len(row.ids))
    requests = [Request(group.sample, group.prompt, row.ids[:at]) for at in range(row.fork, len(row.ids))]
    again = bench.engine.extend(requests, Sampling(max_new_tokens=1), 1, 0, Asked(entropies=True))
    assert [rows[0].entropies[0] for rows in again] == pytest.approx(row.entropies[row.fork :], abs=1e-4)


def test_one_baseline_and_no_loss_on_shared_tokens(bench: Any) -> None:
    group = Cure().roll(bench.groups(bench.questions(1), 4), bench.context(16, lambda r, s: False))[0]
    batch = make_batch(group.rollouts, [group.sample] * 16, [0] * 16, [0.0] * 16, [0.0] * 16)
    assert batch.mask.sum(1).tolist() == [len(row.ids) - row.fork for row in group.rollouts]


def test_rollouts_without_a_place_get_fresh_ones(bench: Any) -> None:
    groups = bench.groups(bench.questions(1), 4)
    end = bench.engine.codec.eos_id
    mute = Rollout(tuple(groups[0].prompt.ids), (end,), (-1.0,), "", Stop.EOS, entropies=(1.0,))
    groups[0].rollouts = [mute] * 4
    ctx = bench.context(16, lambda r, s: False)
    rows = Cure().roll(groups, ctx)[0].rollouts
    assert len(rows) == 16 and all(row.parent == -1 and row.fork == 0 for row in rows)
    assert len({row.ids for row in rows[4:]}) > 6
    assert ctx.logged["method/cure/no_place"] == 4.0 and ctx.logged["method/cure/branches"] == 0.0


def test_a_resumed_step_draws_the_same(bench: Any) -> None:
    made = []
    for seed in (7, 7, 8):
        group = Cure().roll(bench.groups(bench.questions(1), 4), bench.context(16, lambda r, s: False, seed=seed))[0]
        made.append([(row.fork, row.ids) for row in group.rollouts])
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(("stage_two", "forking"), [(None, [1, 5]), (3, [1, 2]), (1, [])])
def test_stage_two_is_plain(bench: Any, stage_two: int | None, forking: list[int]) -> None:
    """Of ten steps; the second half by default."""
    method = Cure(Cure.Settings(stage_two=stage_two))
    for step in (1, 2, 3, 5, 6, 10):
        ctx = bench.context(16, lambda r, s: False, step=step)
        first = step <= forking[-1] if forking else False
        assert method.first(ctx) == (4 if first else 16)
    ctx, groups = bench.context(16, lambda r, s: False, step=10), bench.groups(bench.questions(1), 2)
    bench.engine.prefills = 0
    assert len(method.roll(groups, ctx)[0].rollouts) == 2 and bench.engine.prefills == 0


def test_the_group_size_must_fit() -> None:
    Cure().check(SimpleNamespace(group_size=16))
    with pytest.raises(UserError, match=r"makes n1 \(1 \+ n2\) = 16 rollouts a prompt, grpo.group_size is 8"):
        Cure().check(SimpleNamespace(group_size=8))
