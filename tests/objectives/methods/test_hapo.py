"""Temperature, baseline, advantage and clip by the entropy of each token."""

from __future__ import annotations

import json
import math

import pytest
import torch
from small_batches import context, forward, rollout, rows, tokens

from mmreason.objectives.method import Forward
from mmreason.objectives.methods.hapo import Hapo, Scale

# ln H = -5 -3 -1 0 1 with the pivot at the median -1: sides 4 and 2, h = -1 -1/2 0 1/2 1
ENTROPY = torch.tensor([[-5.0, -3.0, -1.0, 0.0, 1.0]], dtype=torch.float64).exp()
PLACES = [-1.0, -0.5, 0.0, 0.5, 1.0]
MEDIAN = Hapo.Settings(pivot=0.5)
ADVANTAGE = torch.full((1, 5), 2.0, dtype=torch.float64)


def ruled(method: Hapo, ratio: float = 1.0, entropy: torch.Tensor = ENTROPY) -> Forward:
    fw = forward([[math.log(ratio)] * 5], torch.zeros(1, 5), entropy)
    fw.ratio = method.ratio(tokens(5), fw, context())
    return fw


def near(found: object, expected: list[float], within: float = 1e-12) -> None:
    assert isinstance(found, torch.Tensor)
    assert found.flatten().tolist() == pytest.approx(expected, abs=within)


def test_places_keep_their_sign_and_end_at_one() -> None:
    scale = Scale.of(ENTROPY[0], 0.5)
    near(torch.tensor([scale.pivot, scale.low, scale.high]), [-1.0, 4.0, 2.0])
    near(scale.place(ENTROPY), PLACES)
    near(scale.place(torch.tensor([0.0, 1e9])), [-1.0, 1.0])


def test_clip_widths_of_each_token() -> None:
    rule = ruled(Hapo(MEDIAN), 1.18).ratio
    assert rule is not None
    near(rule.ratio, [1.18] * 5)
    near(rule.low, [0.6, 0.7, 0.8, 0.8, 0.8])  # 1 - 0.2 (1 - h) where h <= 0
    near(rule.high, [1.2, 1.2, 1.2, 1.3, 1.4])  # 1 + 0.2 (1 + h) where h > 0


@pytest.mark.parametrize(
    ("ratio", "factor"),
    [
        (1.0, [0.0, 0.5, 1.0, 1.0, 1.0]),  # inside all inner halves: the cold tokens change
        (1.18, [1.0, 1.0, 1.0, 1.5, 1.0]),  # inner halves end at 1.1 1.1 1.1 1.15 1.2: outside, the hot ones change
        (1.3, [1.0, 1.0, 1.0, 1.5, 2.0]),
        (0.83, [0.0, 1.0, 1.0, 1.5, 2.0]),  # they begin at 0.8 0.85 0.9 0.9 0.9
    ],
)
def test_advantages_are_redistributed(ratio: float, factor: list[float]) -> None:
    method, ctx = Hapo(MEDIAN), context()
    out = method.shape(ADVANTAGE, tokens(5), ruled(method, ratio), ctx)
    near(out.advantage, [2.0 * each for each in factor])
    assert out.weight is None and out.keep is None
    assert ctx.logged["method/hapo/tokens"] == 5
    assert ctx.logged["method/hapo/changed_tokens"] == sum(each != 1.0 for each in factor)


def test_the_baseline_weighs_rows_by_length() -> None:
    # group 0: r = 1 over 1 token, 0 over 3: mean 1/4, deviation sqrt(3/16); group 1: all equal
    batch, ctx = tokens(1, 2, 3, 2, reward=[1.0, 1.0, 0.0, 1.0], group=[0, 1, 0, 1]), context()
    near(Hapo().estimate(batch, ctx), [3.0**0.5, 0.0, -(3.0**-0.5), 0.0], 1e-5)
    assert ctx.logged == {}


def test_lopsided_groups_fall_back_to_grpo() -> None:
    # 1 token against 99: mean 0.01, deviation 0.0995, A = 9.95 reaches 5; GRPO gives +-1
    ctx = context()
    batch = rows([rollout(range(1)), rollout(range(99))], reward=[1.0, 0.0])
    assert Hapo().estimate(batch, ctx).tolist() == pytest.approx([1.0, -1.0], abs=1e-5)
    assert ctx.logged == {"method/hapo/fallback_groups": 1.0}


@pytest.mark.parametrize("lengths", [(1,), (0, 0), (3, 3)])
def test_degenerate_groups_have_finite_advantages(lengths: tuple[int, ...]) -> None:
    reward = [1.0, 0.0][: len(lengths)]
    expected = [1.0, -1.0] if len(lengths) == 2 else [0.0]
    assert Hapo().estimate(tokens(*lengths, reward=reward), context()).tolist() == pytest.approx(expected, abs=1e-5)


def test_equal_entropies_leave_the_plain_clip() -> None:
    method = Hapo()
    for entropy in (torch.zeros(1, 5), torch.full((1, 5), 0.7)):
        fw = ruled(method, 1.18, entropy.double())
        assert fw.ratio is not None
        near(fw.ratio.low, [0.8] * 5)
        near(fw.ratio.high, [1.2] * 5)
        assert torch.equal(method.shape(ADVANTAGE, tokens(5), fw, context()).advantage, ADVANTAGE)
    empty = tokens(5)
    empty.mask[:] = False
    assert torch.isfinite(torch.as_tensor(method.ratio(empty, ruled(method), context()).high)).all()


def test_the_next_step_samples_by_the_statistics_of_this_one() -> None:
    method, ctx = Hapo(MEDIAN), context()
    two = torch.full((1, 2), 0.5, dtype=torch.float64).log()
    assert method.heat(two).tolist() == [1.0]
    teacher = rollout(range(5), external=True)  # says nothing about the policy's entropies
    batch = rows([rollout(range(5)), teacher], entropy_old=torch.cat([ENTROPY, torch.full((1, 5), 99.0)]))
    method.observe(batch, ctx)
    assert ctx.logged == {"method/hapo/pivot": pytest.approx(-1.0)}
    # H = ln 2: (ln ln 2 + 1) / 2 of the way up; a certain token is at the bottom
    sure = torch.tensor([[0.0, torch.finfo(torch.float64).min]], dtype=torch.float64)
    near(method.heat(torch.cat([two, sure])), [1.0 + 0.05 * (math.log(math.log(2.0)) + 1.0) / 2.0, 0.95])


def test_state_outlives_a_restart() -> None:
    method, again = Hapo(MEDIAN), Hapo(MEDIAN)
    again.load(json.loads(json.dumps(method.state())))
    assert again.scale is None
    method.observe(tokens(5, entropy_old=ENTROPY), context())
    again.load(json.loads(json.dumps(method.state())))
    assert again.scale == method.scale and again.scale is not None


def test_a_step_without_tokens_leaves_the_scale() -> None:
    method, empty = Hapo(MEDIAN), tokens(5, entropy_old=ENTROPY)
    method.observe(empty, context())
    before = method.scale
    empty.mask[:] = False
    method.observe(empty, context())
    assert method.scale == before
