"""Group-relative advantages against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from mmreason.objectives.advantage import EPSILON, group_advantage

F64 = torch.float64


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1.0, 0.0], [1.0, -1.0]),  # mean 1/2, population deviation 1/2
        ([1.0, 0.0, 0.0, 0.0], [3**0.5, -(3**-0.5), -(3**-0.5), -(3**-0.5)]),  # mean 1/4, deviation sqrt(3)/4
        ([1.0, 1.0, 0.0, 0.0], [1.0, 1.0, -1.0, -1.0]),
        ([2.0, 4.0, 6.0], [-(1.5**0.5), 0.0, 1.5**0.5]),  # deviation sqrt(8/3), 2 / sqrt(8/3) = sqrt(3/2)
    ],
)
def test_by_hand(rewards: list[float], expected: list[float]) -> None:
    found = group_advantage(torch.tensor([rewards], dtype=F64))
    torch.testing.assert_close(found, torch.tensor([expected], dtype=F64), rtol=2e-5, atol=1e-12)


def test_the_small_number_in_the_divisor() -> None:
    found = group_advantage(torch.tensor([[1.0, 0.0]], dtype=F64))
    assert found[0, 0].item() == pytest.approx(0.5 / (0.5 + EPSILON), rel=1e-14)


@pytest.mark.parametrize("std_normalise", [True, False])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -7.3])
def test_equal_rewards_give_exactly_zero(value: float, std_normalise: bool) -> None:
    """0.1 x 7 / 7 is not 0.1 in floating point: a quotient of rounding errors would be near +-1."""
    for dtype in (torch.float32, F64):
        found = group_advantage(torch.full((1, 7), value, dtype=dtype), std_normalise)
        assert found.abs().max().item() == 0.0


def test_without_deviation() -> None:
    found = group_advantage(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=F64), std_normalise=False)
    assert found.tolist() == [[0.75, -0.25, -0.25, -0.25]]


def test_groups_do_not_see_each_other() -> None:
    rewards = torch.tensor([[1.0, 0.0], [5.0, 5.0], [10.0, 30.0]], dtype=F64)
    found = group_advantage(rewards)
    for index in range(3):
        assert torch.equal(found[index], group_advantage(rewards[index : index + 1])[0])
    assert found[1].tolist() == [0.0, 0.0]
