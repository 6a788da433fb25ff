"""Token and sequence means: by hand, and micro-batches add up to the whole batch."""

from __future__ import annotations

import pytest
import torch

from mmreason.objectives.reduce import LossMean, denominator, reduce, token_weights

F64 = torch.float64
LOSS = torch.tensor([[1.0, 2.0, 3.0], [10.0, 99.0, 99.0], [4.0, 6.0, 99.0]], dtype=F64)
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=torch.bool)
LENGTHS = [3, 1, 2]


@pytest.mark.parametrize(
    ("mean", "expected"),
    [("token", (1 + 2 + 3 + 10 + 4 + 6) / 6), ("sequence", (2 + 10 + 5) / 3)],
)
def test_by_hand(mean: LossMean, expected: float) -> None:
    total = denominator(LENGTHS, mean)
    assert reduce(LOSS, MASK, mean, total).item() == pytest.approx(expected, rel=1e-6)


def test_denominators() -> None:
    assert denominator(LENGTHS, "token") == 6.0
    assert denominator(LENGTHS, "sequence") == 3.0
    assert denominator([], "token") == denominator([], "sequence") == denominator([0, 0], "token") == 1.0


def test_sequence_weights_of_each_row_add_to_one() -> None:
    weights = token_weights(MASK, "sequence")
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert token_weights(torch.zeros(1, 3, dtype=torch.bool), "sequence").abs().sum().item() == 0.0


@pytest.mark.parametrize("mean", ["token", "sequence"])
@pytest.mark.parametrize("cuts", [[[0], [1], [2]], [[0, 1], [2]], [[2, 0], [1]]])
def test_micro_batches_add_up(mean: LossMean, cuts: list[list[int]]) -> None:
    """A mean of means would weigh the single-token row as much as the long ones."""
    total = denominator(LENGTHS, mean)
    whole = reduce(LOSS, MASK, mean, total)
    parts = sum(reduce(LOSS[rows], MASK[rows], mean, total) for rows in cuts)
    torch.testing.assert_close(parts, whole)
