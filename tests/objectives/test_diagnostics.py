"""Numbers of a step against values worked out by hand; cutting the batch or sharing it out changes none of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.diagnostics import advantage_metrics, kept_metrics, rollout_metrics
from mmreason.objectives.diagnostics_rows import repetition
from mmreason.records import (
    Answer,
    AnswerKind,
    Message,
    Role,
    Rollout,
    Sample,
    Segment,
    SegmentKind,
    Source,
    Stop,
    Unread,
    Verdict,
)
from mmreason.rewards.terms import Terms

SOURCE = Source("own", "train", "Apache-2.0", "0")


def sample(name: str) -> Sample:
    return Sample(name, SOURCE, (Message.of(Role.USER, f"{name}?"),), Answer(AnswerKind.NUMBER, "3"))


def rollout(length: int, stop: Stop = Stop.EOS, **more: Any) -> Rollout:
    return Rollout((1,), tuple(range(length)), (-0.5,) * length, "", stop, **more)


def three_groups() -> Batch:
    """Pass rates 1/2, 1, 0; lengths 2 4 | 6 8 | 10 12."""
    rollouts = [rollout(2), rollout(4, Stop.LENGTH), rollout(6), rollout(8), rollout(10), rollout(12, Stop.LENGTH)]
    reward = [1.0, 0.0, 1.0, 1.0, 0.0, 0.5]
    correct = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    samples = [sample(name) for name in "aabbcc"]
    return make_batch(rollouts, samples, [0, 0, 1, 1, 2, 2], reward, correct, {"format": [1, 1, 1, 1, 0, 1]})


def test_rewards_groups_and_lengths() -> None:
    got = rollout_metrics(three_groups(), limit=12)
    # Deviation of 1 0 1 1 0 .5: mean 3.5/6, mean of squares 3.25/6.
    spread = math.sqrt(3.25 / 6 - (3.5 / 6) ** 2)
    # Format 1 1 1 1 0 1: deviation sqrt(5/6 - 25/36).
    expected = {
        "rows/external": 0.0,
        "rows/replayed": 0.0,
        "reward": 3.5 / 6,
        "reward/std": spread,
        "accuracy": 0.5,
        "term/format/mean": 5 / 6,
        "term/format/weight": math.sqrt(5 / 36) / spread,
        "zero_advantage_groups": 1 / 3,
        "groups/all_right": 1 / 3,
        "groups/all_wrong": 1 / 3,
        "groups/size": 2.0,
        "pass_rate/0": 1 / 3,
        "pass_rate/1": 0.0,
        "pass_rate/2": 1 / 3,
        "pass_rate/3": 0.0,
        "pass_rate/4": 1 / 3,
        "length": 7.0,
        "len/p50": 7.0,
        "len/p95": 11.5,  # 0.95 x 5 = 4.75 places up: 10 + 0.75 x 2
        "len/max": 12.0,
        "len/limit": 12.0,
        "len/tail": 12 / 7,
        "len/correct": 16 / 3,
        "len/wrong": 26 / 3,
        "len/ratio": 26 / 16,
        "tokens/generated": 42.0,
        "truncated": 1 / 3,
        "stop/eos": 2 / 3,
        "repetition": 0.0,
    }
    assert got == pytest.approx(expected)


def test_a_term_counts_with_its_weight() -> None:
    one = rollout_metrics(three_groups(), 12)["term/format/weight"]
    assert rollout_metrics(three_groups(), 12, weights={"format": 0.1})["term/format/weight"] == pytest.approx(
        0.1 * one
    )


def test_readings_of_a_group() -> None:
    def term(read: str | None) -> Terms:
        verdict = Verdict.no_read(Unread.PREDICTION, "") if read is None else Verdict.wrong(read, "")
        return Terms(float(read is not None), 0.0, 0.0, verdict, "", think_empty=read == "3")

    terms = [term("3"), term("4"), term("5"), term("5"), term(None), term("7")]
    got = rollout_metrics(three_groups(), 12, terms)
    assert (got["format"], got["unread"], got["empty_think"]) == pytest.approx((5 / 6, 1 / 6, 1 / 6))
    assert got["answers/distinct"] == pytest.approx((2 + 1 + 1) / 3)
    assert got["answers/entropy"] == pytest.approx(math.log(2) / 3)
    with pytest.raises(ValueError, match="5 terms for 6 rows"):
        rollout_metrics(three_groups(), 12, terms[:5])


def test_rows_of_others_are_counted_apart() -> None:
    """A teacher's right answer must not look like progress; it does give its group a variance."""
    rollouts = [rollout(2), rollout(4), rollout(9, external=True), rollout(9, extras={"advantage": 1.0})]
    batch = make_batch(rollouts, [sample("a")] * 4, [0] * 4, [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    got = rollout_metrics(batch, 10)
    assert (got["rows/external"], got["rows/replayed"]) == (0.25, 0.25)
    assert (got["reward"], got["accuracy"], got["length"], got["groups/size"]) == (0.0, 0.0, 3.0, 2.0)
    assert (got["zero_advantage_groups"], got["groups/all_wrong"], got["pass_rate/0"]) == (0.0, 1.0, 1.0)
    alone = batch.take([2])
    assert rollout_metrics(alone, 10) == {"rows/external": 1.0, "rows/replayed": 0.0}


def test_turns_and_trees_where_there_are_any() -> None:
    turns = (Segment(0, 3), Segment(3, 7, SegmentKind.TOOL), Segment(7, 8, turn=1))
    rows = [rollout(8, segments=turns), rollout(8, parent=0, fork=6), rollout(4)]
    got = rollout_metrics(make_batch(rows, [sample("a")] * 3, [0] * 3, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), 10)
    assert got["agent/turns"] == pytest.approx(4 / 3)
    assert got["agent/tool_tokens"] == pytest.approx(4 / 3)
    assert got["length"] == pytest.approx((4 + 8 + 4) / 3)
    assert got["tokens/generated"] == 4 + 2 + 4
    assert (got["tree/roots"], got["tree/shared"]) == pytest.approx((2.0, 6 / 20))
    assert not {"agent/turns", "tree/roots"} & rollout_metrics(three_groups(), 12).keys()


@pytest.mark.parametrize(
    ("ids", "share"),
    [
        ([7] * 19, 0.0),
        ([7] * 24, 4 / 5),
        (list(range(40)), 0.0),
        (list(range(20)) * 2, 1 / 21),
        ([2**30, 1] * 20, 19 / 21),
    ],
)
def test_repetition(ids: list[int], share: float) -> None:
    assert repetition(ids) == pytest.approx(share)


def test_a_reward_that_is_no_number_names_its_sample() -> None:
    batch = three_groups()
    batch.reward[4] = math.nan
    with pytest.raises(FloatingPointError, match="reward of sample c is nan"):
        rollout_metrics(batch, 12)


def test_two_processes_give_the_numbers_of_one() -> None:
    """Groups stay whole, of unequal number; medians and ratios come out exactly."""
    batch = three_groups()
    shares = [batch.take([0, 1, 2, 3]), batch.take([4, 5])]
    tables: list[torch.Tensor] = []
    for share in shares:
        rollout_metrics(share, 12, gather=lambda rows: tables.append(rows) or rows)
    whole = rollout_metrics(batch, 12)
    for share in shares:
        assert rollout_metrics(share, 12, gather=lambda rows: torch.cat(tables)) == pytest.approx(whole)


def test_what_filtering_left() -> None:
    batch = three_groups()
    got = kept_metrics(batch, batch.take([0, 1, 4, 5]))
    expected = {"groups": 2 / 3, "reward": 1.5 / 4, "accuracy": 0.25, "zero_advantage_groups": 0.0}
    assert got == pytest.approx({f"kept/{key}": value for key, value in expected.items()})
    assert kept_metrics(batch, batch.take([])) == {"kept/groups": 0.0}


def test_advantages_over_loss_tokens() -> None:
    """Two rows of two and four tokens, advantages 1 and -1/2: sum 0, squares 2 + 1 over six tokens."""
    batch = three_groups().take([0, 1])
    expected = {"mean": 0.0, "std": math.sqrt(0.5), "max_abs": 1.0, "pos_frac": 1 / 3, "zero_frac": 0.0}
    expected |= {"sum_pos": 2.0, "sum_neg": -2.0}
    named = {f"adv/{key}": value for key, value in expected.items()}
    assert advantage_metrics(batch, torch.tensor([1.0, -0.5])) == pytest.approx(named)
    wide = torch.full((2, batch.mask.shape[1]), math.nan)
    wide[0, :2], wide[1, :4] = 1.0, -0.5
    assert advantage_metrics(batch, wide) == pytest.approx(named)
    assert advantage_metrics(batch, wide, torch.zeros_like(batch.mask)) == {}
    with pytest.raises(FloatingPointError, match="advantage of sample a is nan at answer token 2"):
        advantage_metrics(batch, wide, torch.ones_like(batch.mask))
