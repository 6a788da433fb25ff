"""A few tokens whose advantage and log-probability rise together lose their gradient."""

from __future__ import annotations

import pytest
import torch
from small_batches import context, forward, tokens

from mmreason.objectives.method import Ratio
from mmreason.objectives.methods.clip_cov import ClipCov

# Loss tokens: row 1 all three, row 2 the first. A = 3 3 3 -1, mean 2; l = -1 -2 -4 -5, mean -3.
# cov = (1)(2) (1)(1) (1)(-1) (-3)(-2) = 2 1 -1 6
ADVANTAGE = torch.tensor([[3.0], [-1.0]], dtype=torch.float64).expand(2, 3)
LOGP = [[-1.0, -2.0, -4.0], [-5.0, 0.0, 0.0]]


def shaped(settings: dict[str, float], ratio: float = 1.0, **fields: int) -> tuple[list[list[bool]], dict[str, float]]:
    ctx, fw = context(**fields), forward(LOGP)
    fw.ratio = Ratio(torch.full((2, 3), ratio, dtype=torch.float64), 0.8, 1.2)
    out = ClipCov(ClipCov.Settings(**settings)).shape(ADVANTAGE, tokens(3, 1), fw, ctx)
    assert out.keep is not None and torch.equal(out.advantage, ADVANTAGE)
    return out.keep.tolist(), {key.rpartition("/")[2]: number for key, number in ctx.logged.items()}


def test_only_tokens_strictly_within_the_band_are_dropped() -> None:
    # 4 loss tokens x 0.5 = 2 may go, but of cov 2 1 -1 6 only the 2 lies within (1, 5)
    keep, counters = shaped({"share": 0.5})
    assert keep == [[False, True, True], [True, False, False]]  # the padding is no loss token before or after
    assert counters == {"tokens": 4, "band_tokens": 1, "dropped_tokens": 1}


def test_no_more_than_the_share_go_and_which_is_drawn() -> None:
    wide = {"share": 0.25, "low": 0.0, "high": 10.0}  # cov 2 1 6 lie within, one of them goes
    draws = [shaped(wide, seed=seed) for seed in range(12)]
    assert all(counters == {"tokens": 4, "band_tokens": 3, "dropped_tokens": 1} for _, counters in draws)
    assert {tuple(map(tuple, keep)) for keep, _ in draws} == {
        ((False, True, True), (True, False, False)),
        ((True, False, True), (True, False, False)),
        ((True, True, True), (False, False, False)),
    }
    assert shaped(wide, seed=3) == shaped(wide, seed=3)


@pytest.mark.parametrize(("ratio", "band"), [(1.1, 3), (1.3, 1), (0.7, 2)])
def test_tokens_that_the_clip_cut_are_no_candidates(ratio: float, band: int) -> None:
    # rho 1.3 cuts the tokens of A = 3, rho 0.7 that of A = -1
    assert shaped({"share": 1.0, "low": 0.0, "high": 10.0}, ratio)[1]["band_tokens"] == band


def test_a_small_micro_batch_drops_none_unless_told() -> None:
    assert shaped({})[1]["dropped_tokens"] == 0  # floor(2e-4 x 4)
    assert shaped({"least": 1})[1]["dropped_tokens"] == 1


@pytest.mark.parametrize("lengths", [(1,), (2, 2), (0, 3)])
def test_equal_advantages_drop_nothing(lengths: tuple[int, ...]) -> None:
    micro = tokens(*lengths)
    fw = forward(torch.randn(micro.mask.shape))
    fw.ratio = Ratio(torch.ones_like(fw.logp), 0.8, 1.2)
    out = ClipCov(ClipCov.Settings(share=1.0)).shape(torch.ones_like(fw.logp), micro, fw, context())
    assert out.keep is not None and torch.equal(out.keep, micro.mask)


def test_without_loss_tokens() -> None:
    micro = tokens(2)
    micro.mask[:] = False
    fw = forward([[-1.0, -2.0]])
    fw.ratio = Ratio(torch.ones_like(fw.logp), 0.8, 1.2)
    out = ClipCov().shape(torch.ones_like(fw.logp), micro, fw, context())
    assert out.keep is not None and not out.keep.any()
