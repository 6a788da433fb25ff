"""Bundles, tracked quantiles and the mixed value-at-risk, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.config.strict import validate
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context
from mmreason.objectives.methods.riskpo import RiskPO, bundles, mixed_value_at_risk
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))


def make(groups: list[int], rewards: list[float]) -> Batch:
    rows = [Rollout((1,), (5,), (0.0,), "", Stop.EOS)] * len(rewards)
    return make_batch(rows, [SAMPLE] * len(rows), groups, rewards, rewards)


def fresh() -> Context:
    return Context(step=1, total=9, seed=0, group_size=2, sampling=Sampling())


def test_bundles_go_by_group_number_not_by_place() -> None:
    """Questions 7, 3, 5 in order of appearance, their rows interleaved; two make a bundle, 5 is left alone."""
    batch = make([7, 3, 5, 3, 7, 5], [0.0] * 6)
    assert bundles(batch, 2) == [[0, 1], [4, 3], [2], [5]]


def test_groups_of_unequal_size() -> None:
    assert bundles(make([0, 0, 0, 1], [0.0] * 4), 2) == [[0, 3], [1], [2]]


def test_the_advantage_by_hand() -> None:
    """q_lo 1, q_hi 3, levels 0.2 and 0.7, w 1.5; everything over w + 1 = 2.5.

    R = 0: tail -(1 - 0) / 0.2 = -5, middle (1 - 3) / 0.5 = -4: (1.5 x -5 - 4) / 2.5 = -4.6
    R = 1: tail 0, middle -4: -1.6      R = 2: middle (1 - 2) / 0.5 = -2: -0.8      R = 3 and 4: 0
    """
    found = mixed_value_at_risk(torch.tensor([0.0, 1, 2, 3, 4], dtype=torch.float64), 1.0, 3.0, 0.2, 0.7, 1.5)
    expected = torch.tensor([-4.6, -1.6, -0.8, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_rows_share_their_bundles_advantage_and_quantiles_take_a_step() -> None:
    """Bundles of two: scores 1 + 1 = 2 and 0 + 1 = 1. With q = (1.5, 2): R = 1 lies below both, R = 2 at the upper.

    R = 2: middle 0.5 + 1.5 - 2 = 0: 0.    R = 1: tail -0.5 / 0.2 = -2.5, middle -0.5 / 0.5 = -1: -4.75 / 2.5 = -1.9.
    q_lo: 1.5 + 0.1 (0.2 - 1/2) = 1.47; q_hi: 2 + 0.1 (0.7 - 1/2) = 2.02 (R < 2 holds for one of two).
    """
    method, ctx = RiskPO(RiskPO.Settings(bundle=2, low=0.2, high=0.7)), fresh()
    method.load({"quantiles": [1.5, 2.0]})
    found = method.estimate(make([0, 0, 1, 1], [1, 0, 1, 1]), ctx)
    torch.testing.assert_close(found, torch.tensor([0.0, -1.9, 0.0, -1.9], dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert method.quantiles == pytest.approx([1.47, 2.02], rel=1e-12)
    assert ctx.logged == {
        "method/riskpo/q_low": 1.5,
        "method/riskpo/q_high": 2.0,
        "method/riskpo/below_low": 0.5,
    }


def test_a_short_bundle_lives_on_the_scale_of_a_whole_one() -> None:
    """One question in a bundle of five: a right answer counts 5, a wrong one 0; the first batch gives the quantiles.

    Scores 5, 0: the 0.2 quantile is 1, the 0.9 quantile 4.5.
    """
    method, ctx = RiskPO(), fresh()
    method.estimate(make([0, 0], [1, 0]), ctx)
    assert ctx.logged["method/riskpo/q_low"] == pytest.approx(1.0)
    assert ctx.logged["method/riskpo/q_high"] == pytest.approx(4.5)


@pytest.mark.parametrize(("groups", "rewards"), [([0], [1.0]), ([0, 0, 1, 1], [0.5] * 4)])
def test_one_row_and_equal_rewards_give_zero_at_first(groups: list[int], rewards: list[float]) -> None:
    """Both quantiles are the one score: nothing lies below, nothing is missing to the upper one."""
    found = RiskPO(RiskPO.Settings(bundle=2)).estimate(make(groups, rewards), fresh())
    assert found.abs().max().item() == 0.0


def test_state_round_trip() -> None:
    batch = make([0, 0, 1, 1], [1, 0, 0, 1])
    whole, cut = RiskPO(RiskPO.Settings(bundle=2)), RiskPO(RiskPO.Settings(bundle=2))
    whole.estimate(batch, fresh())
    resumed = RiskPO(RiskPO.Settings(bundle=2))
    resumed.load(whole.state())
    assert torch.equal(whole.estimate(batch, fresh()), resumed.estimate(batch, fresh()))
    assert cut.state() == {"quantiles": []}


def test_levels_out_of_order_are_refused() -> None:
    with pytest.raises(UserError, match=r"riskpo: .*low=0.9 must lie below high=0.2"):
        validate(RiskPO.Settings, {"low": 0.9, "high": 0.2}, "grpo.methods, riskpo")
