"""Advantages against numbers worked out by hand; groups are data, not positions."""

from __future__ import annotations

import pytest
import torch

from mmreason.objectives.advantage import EPSILON, Advantage, estimate
from mmreason.objectives.batch import Batch, make_batch
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample(
    "q", Source("own", "train", "Apache-2.0", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1")
)


def batch(rewards: list[float], groups: list[int] | None = None, lengths: list[int] | None = None) -> Batch:
    lengths = lengths or [1] * len(rewards)
    rows = [Rollout((1,), (2,) * length, (0.0,) * length, "", Stop.EOS) for length in lengths]
    return make_batch(rows, [SAMPLE] * len(rows), groups or [0] * len(rows), rewards, rewards)


def found(kind: Advantage, made: Batch, counted: list[bool] | None = None) -> list[float]:
    return estimate(made, kind, torch.tensor(counted or [True] * len(made))).tolist()


@pytest.mark.parametrize(
    ("kind", "rewards", "expected"),
    [
        ("group", [1.0, 0.0], [1.0, -1.0]),  # mean 1/2, population deviation 1/2
        ("group", [1.0, 0.0, 0.0, 0.0], [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)]),  # 1/4 and sqrt(3)/4
        ("group", [2.0, 4.0, 6.0], [-(1.5**0.5), 0.0, 1.5**0.5]),  # deviation sqrt(8/3), 2 / sqrt(8/3) = sqrt(3/2)
        ("centred", [1.0, 0.0, 0.0, 0.0], [0.75, -0.25, -0.25, -0.25]),
        ("loo", [1.0, 0.0, 0.0, 0.0], [1.0, -1 / 3, -1 / 3, -1 / 3]),  # 1 - 0, and 0 - 1/3
    ],
)
def test_one_group_by_hand(kind: Advantage, rewards: list[float], expected: list[float]) -> None:
    assert found(kind, batch(rewards)) == pytest.approx(expected, rel=2e-5, abs=1e-12)


def test_the_deviation_of_the_batch() -> None:
    """Rewards 1 0 | 4 0: means 1/2 and 2; over all four rows the mean is 5/4, the deviation sqrt(17/4 - 25/16)."""
    deviation = (17 / 4 - 25 / 16) ** 0.5
    expected = [0.5 / deviation, -0.5 / deviation, 2 / deviation, -2 / deviation]
    assert found("lite", batch([1.0, 0.0, 4.0, 0.0], [0, 0, 1, 1])) == pytest.approx(expected, rel=1e-5)


def test_whitening_counts_tokens() -> None:
    """Centred 1/2 with three tokens, -1/2 with one: mean 1/4, deviation sqrt(1/4 - 1/16) = sqrt(3)/4."""
    expected = [0.25 / (3**0.5 / 4), -0.75 / (3**0.5 / 4)]
    assert found("batch", batch([1.0, 0.0], lengths=[3, 1])) == pytest.approx(expected, rel=1e-5)


def test_statistics_are_those_of_all_processes() -> None:
    """Another process with the same rows doubles every sum: mean and deviation stay."""
    one, made = found("lite", batch([1.0, 0.0, 4.0, 0.0], [0, 0, 1, 1])), batch([1.0, 0.0, 4.0, 0.0], [0, 0, 1, 1])
    two = estimate(made, "lite", torch.ones(4, dtype=torch.bool), lambda value: 2.0 * value)
    assert two.tolist() == pytest.approx(one, rel=1e-12)


def test_the_small_number_in_the_divisor() -> None:
    assert found("group", batch([1.0, 0.0]))[0] == pytest.approx(0.5 / (0.5 + EPSILON), rel=1e-14)


@pytest.mark.parametrize("kind", ["group", "centred", "loo", "lite", "batch"])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -7.3])
def test_equal_rewards_give_exactly_zero(value: float, kind: Advantage) -> None:
    """0.1 x 7 / 7 is not 0.1 in floating point: a quotient of rounding errors would be near +-1."""
    assert found(kind, batch([value] * 7)) == [0.0] * 7


@pytest.mark.parametrize("kind", ["group", "centred", "loo"])
def test_groups_are_numbers_not_places(kind: Advantage) -> None:
    """Rows of three groups, shuffled, one of a single row: each row gets what its group alone gives it."""
    rewards, groups = [1.0, 10.0, 0.0, 30.0, 5.0], [7, 2, 7, 2, 9]
    made = found(kind, batch(rewards, groups))
    assert [made[0], made[2]] == found(kind, batch([1.0, 0.0]))
    assert [made[1], made[3]] == found(kind, batch([10.0, 30.0]))
    assert made[4] == 0.0


def test_rows_left_out_are_not_in_the_mean() -> None:
    assert found("centred", batch([1.0, 0.0, 100.0]), [True, True, False]) == [0.5, -0.5, 0.0]
