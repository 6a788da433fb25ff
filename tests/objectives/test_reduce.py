"""Weights of tokens: by hand, and micro-batches add up to the whole update."""

from __future__ import annotations

import pytest
import torch

from mmreason.objectives.reduce import LossMean, token_weights

F64 = torch.float64
LOSS = torch.tensor([[1.0, 2.0, 3.0], [10.0, 99.0, 99.0], [4.0, 6.0, 99.0]], dtype=F64)
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]], dtype=torch.bool)
GROUP = torch.tensor([5, 5, 2])


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        ("token", (1 + 2 + 3 + 10 + 4 + 6) / 6),
        ("sequence", (2 + 10 + 5) / 3),
        ("sum", (6 + 10 + 10) / 3),
        ("constant", (6 + 10 + 10) / (3 * 4)),
        ("prompt", ((6 + 10) / 4 + 10 / 2) / 2),
    ],
)
def test_by_hand(mean: LossMean, expected: float) -> None:
    weights = token_weights(MASK, mean, GROUP, limit=4)
    assert (LOSS * weights).sum().item() == pytest.approx(expected, rel=1e-12)
    assert weights[~MASK].abs().sum().item() == 0.0


@pytest.mark.parametrize("mean", ["token", "sequence", "sum", "constant", "prompt"])
def test_rows_without_tokens_weigh_nothing_and_do_not_count(mean: LossMean) -> None:
    empty = torch.cat([MASK, torch.zeros(2, 3, dtype=torch.bool)])
    group = torch.cat([GROUP, torch.tensor([9, 5])])
    found = token_weights(empty, mean, group, limit=4)
    torch.testing.assert_close(found[:3], token_weights(MASK, mean, GROUP, limit=4))
    assert found[3:].abs().sum().item() == 0.0
    nothing = token_weights(torch.zeros(1, 3, dtype=torch.bool), mean, torch.tensor([1]), limit=4)
    assert nothing.abs().sum().item() == 0.0


@pytest.mark.parametrize("mean", ["token", "sequence", "sum", "constant", "prompt"])
def test_shares_of_processes_add_up(mean: LossMean) -> None:
    """Two processes with whole groups each, their denominators summed: the weights of one process."""
    whole = token_weights(MASK, mean, GROUP, limit=4)
    parts = [[0, 1], [2]]
    seen: list[list[float]] = []

    def first(value: float) -> float:
        seen[-1].append(value)
        return value

    for part in parts:
        seen.append([])
        token_weights(MASK[part], mean, GROUP[part], 4, first)
    for index, part in enumerate(parts):
        totals = iter([sum(values) for values in zip(*seen, strict=True)])
        found = token_weights(MASK[part], mean, GROUP[part], 4, lambda value, totals=totals: next(totals))
        torch.testing.assert_close(found, whole[part], msg=f"process {index}")
