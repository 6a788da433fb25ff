"""Tokens weigh less, the more an update on them would change the entropy."""

from __future__ import annotations

import math

import pytest
import torch
from small_batches import context, forward, tokens

from mmreason.objectives.methods.steer import Steer, entropy_change

LOG2 = math.log(2.0)
# pi = 1/2, 1/4, 1/2, 1/2 with H = 0, 2 ln 2, 2 ln 2, ln 2, A = 2, 2, 2, 2; pi_old = pi, but 1/4 for the third:
# |Omega| = 2 x 1 x 1/2 x |-ln 2|         = ln 2
#           2 x 1 x 3/4 x |-2 ln 2 + 2 ln 2| = 0
#           2 x 2 x 1/2 x |-ln 2 + 2 ln 2|   = 2 ln 2
#           2 x 1 x 1/2 x |-ln 2 + ln 2|     = 0
LOGP = [[-LOG2, -2 * LOG2, -LOG2, -LOG2]]
OLD = [[-LOG2, -2 * LOG2, -2 * LOG2, -LOG2]]
ENTROPY = [[0.0, 2 * LOG2, 2 * LOG2, LOG2]]
ADVANTAGE = torch.full((1, 4), 2.0, dtype=torch.float64)


def test_the_predicted_change_of_entropy() -> None:
    change = entropy_change(ADVANTAGE, forward(LOGP, OLD, ENTROPY))
    assert torch.allclose(change, torch.tensor([[LOG2, 0.0, 2 * LOG2, 0.0]], dtype=torch.float64), atol=1e-15)
    assert torch.equal(change, entropy_change(-ADVANTAGE, forward(LOGP, OLD, ENTROPY)))


def test_linear_weights_span_the_range() -> None:
    ctx = context()
    out = Steer().shape(ADVANTAGE, tokens(4), forward(LOGP, OLD, ENTROPY), ctx)
    assert out.weight is not None and torch.equal(out.advantage, ADVANTAGE)
    assert torch.allclose(out.weight, torch.tensor([[1.0, 1.2, 0.8, 1.2]], dtype=torch.float64))
    assert ctx.logged["method/steer/tokens"] == 4
    assert ctx.logged["method/steer/lowered_tokens"] == 1
    assert ctx.logged["method/steer/weight_sum"] == pytest.approx(4.2)


def test_exponential_weights_reach_the_least_at_the_largest_change() -> None:
    method = Steer(Steer.Settings(kind="exponential"))
    out = method.shape(ADVANTAGE, tokens(4), forward(LOGP, OLD, ENTROPY), context())
    assert out.weight is not None  # w_min^(|Omega| / max): 0.8^0.5, 1, 0.8, 1
    assert torch.allclose(out.weight, torch.tensor([[0.8**0.5, 1.0, 0.8, 1.0]], dtype=torch.float64))
    faint = method.shape(ADVANTAGE * 1e-3, tokens(4), forward(LOGP, OLD, ENTROPY), context()).weight
    assert faint is not None  # max |Omega| = 0.00139 is below 0.02: 0.8^(0.00139 / 0.02)
    assert float(faint.min()) == pytest.approx(0.8 ** (2e-3 * LOG2 / 0.02))


def test_padding_neither_sets_the_range_nor_weighs() -> None:
    whole = Steer().shape(ADVANTAGE, tokens(4), forward(LOGP, OLD, ENTROPY), context()).weight
    padded = Steer().shape(
        ADVANTAGE.expand(2, 4),
        tokens(4, 0),
        forward([LOGP[0], [-9.0] * 4], [OLD[0], [-9.0] * 4], [ENTROPY[0], [50.0] * 4]),
        context(),
    )
    assert whole is not None and padded.weight is not None
    assert torch.equal(padded.weight[:1], whole)
    assert padded.weight[1].tolist() == [1.0] * 4


@pytest.mark.parametrize("kind", ["linear", "exponential"])
def test_degenerate_batches_weigh_one(kind: str) -> None:
    method = Steer(Steer.Settings.model_validate({"kind": kind}))
    flat = method.shape(torch.zeros(1, 4), tokens(4), forward(LOGP, OLD, ENTROPY), context()).weight  # no advantage
    assert flat is not None and torch.equal(flat, torch.ones_like(flat))
    empty = tokens(4)
    empty.mask[:] = False
    none = method.shape(ADVANTAGE, empty, forward(LOGP, OLD, ENTROPY), context()).weight
    assert none is not None and torch.equal(none, torch.ones_like(none))


def test_a_collapsed_old_probability_stays_finite() -> None:
    out = Steer().shape(ADVANTAGE, tokens(4), forward(LOGP, [[-1e4] * 4], ENTROPY), context())
    assert out.weight is not None and torch.isfinite(out.weight).all()
