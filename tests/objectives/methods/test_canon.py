"""Halves of a group by entropy or length, against advantages worked out by hand."""

from __future__ import annotations

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.method import Context, Need, Trait
from mmreason.objectives.methods.canon import Canon
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SAMPLE = Sample("q", Source("own", "train", "MIT", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
CTX = Context(step=1, total=9, seed=0, group_size=4, sampling=Sampling())


def make(rewards: list[float], entropies: list[float], lengths: list[int] | None = None) -> Batch:
    lengths = lengths or [2] * len(rewards)
    rows = [Rollout((1,), (5,) * n, (0.0,) * n, "", Stop.EOS) for n in lengths]
    batch = make_batch(rows, [SAMPLE] * len(rows), [0] * len(rows), rewards, rewards)
    batch.aux["entropy_old"] = torch.tensor(entropies).unsqueeze(1).expand(batch.mask.shape).clone()
    return batch


def fresh() -> Context:
    return Context(step=1, total=9, seed=0, group_size=4, sampling=Sampling())


def test_between_the_halves_by_hand() -> None:
    """High entropy: rows 0 and 2 with rewards 1, 1 (mean 1); low: rows 1 and 3 with 0, 1 (mean 1/2)."""
    batch, ctx = make([1, 0, 1, 1], [0.9, 0.1, 0.8, 0.2]), fresh()
    found = Canon(Canon.Settings(mu=1.0)).estimate(batch, ctx)
    assert found.tolist() == [0.5, -1.0, 0.5, 0.0]  # high: r - 1/2; low: r - 1
    assert ctx.logged == {"method/canon/high_less_low": 0.5}
    within = Canon(Canon.Settings(mu=0.0)).estimate(batch, fresh())
    assert within.tolist() == [0.0, -0.5, 0.0, 0.5]  # against the mean of the own half


def test_half_and_half_is_the_group_mean() -> None:
    """mu = 1/2, alpha = 1: r - (m_high + m_low) / 2, which for equal halves is Dr. GRPO."""
    batch = make([1, 0, 0, 0], [0.4, 0.3, 0.2, 0.1])
    assert Canon(Canon.Settings(mu=0.5)).estimate(batch, CTX).tolist() == [0.75, -0.25, -0.25, -0.25]


def test_alpha_favours_a_half() -> None:
    """All right, alpha 0.9: the favoured half gets 1 - 0.9, the other 0.9 - 1."""
    batch = make([1, 1, 1, 1], [0.9, 0.1, 0.8, 0.2], [1, 2, 3, 4])
    high = Canon(Canon.Settings(alpha=0.9))
    torch.testing.assert_close(high.estimate(batch, CTX), torch.tensor([0.1, -0.1, 0.1, -0.1], dtype=torch.float64))
    short = Canon(Canon.Settings(alpha=0.9, metric="length"))
    torch.testing.assert_close(short.estimate(batch, CTX), torch.tensor([0.1, 0.1, -0.1, -0.1], dtype=torch.float64))


def test_an_odd_row_in_the_middle_is_high() -> None:
    """Lengths 1, 2, 3: low is the shortest alone (mean 1), high the others (mean 1/2)."""
    batch = make([1, 0, 1], [0.0, 0.0, 0.0], [1, 2, 3])
    found = Canon(Canon.Settings(metric="length")).estimate(batch, CTX)
    assert found.tolist() == [0.5, -1.0, 0.0]


@pytest.mark.parametrize("rewards", [[0.1] * 7, [0.0] * 4, [1.0]])
def test_equal_rewards_and_a_single_row_give_exactly_zero(rewards: list[float]) -> None:
    found = Canon(Canon.Settings(mu=0.3)).estimate(make(rewards, [0.1 * n for n in range(len(rewards))]), CTX)
    assert found.tolist() == [0.0] * len(rewards)


def test_tool_tokens_do_not_count_for_the_entropy() -> None:
    batch = make([1, 0], [0.5, 0.4])
    batch.mask[1, 1] = False
    batch.aux["entropy_old"][1] = torch.tensor([0.6, float("nan")])  # row 1 is the high one by its one loss token
    assert Canon().estimate(batch, CTX).tolist() == [1.0, -1.0]


def test_what_it_needs_and_pushes_depends_on_its_settings() -> None:
    assert Canon().needs == {Need.ENTROPY_OLD} and Canon().traits == frozenset()
    assert Canon(Canon.Settings(alpha=0.9)).traits == {Trait.ENTROPY_UP}
    assert Canon(Canon.Settings(alpha=0.9, favour="low")).traits == {Trait.ENTROPY_DOWN}
    length = Canon(Canon.Settings(alpha=0.9, metric="length"))
    assert length.needs == frozenset() and length.traits == {Trait.LENGTH}
