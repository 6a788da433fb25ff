"""From rewards to advantages and weights: overlong rows, divergence in the reward, replay, methods' own rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Optim, Sampling
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import Active, Composition
from mmreason.objectives.credit import advantages, charge_divergence, loss_weights
from mmreason.objectives.method import Context, Method
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

SOURCE = Source("own", "train", "Apache-2.0", "0")
SAMPLE = Sample("q", SOURCE, (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
LIMIT = 4


def settings(**values: object) -> GrpoSettings:
    given = {"optim": Optim(lr=1.0), "steps": 10, "advantage": "centred", **values}
    return GrpoSettings.model_validate({**given, "sampling": Sampling(max_new_tokens=LIMIT)})


def context() -> Context:
    return Context(1, 10, 0, 3, Sampling(max_new_tokens=LIMIT))


def batch(stops: tuple[Stop, ...] = (Stop.EOS, Stop.EOS, Stop.LENGTH)) -> Batch:
    """One group: rewards 1, 0, 0; lengths 2, 3, 4."""
    rows = [Rollout((1,), (2,) * n, (0.0,) * n, "", stop) for n, stop in zip((2, 3, 4), stops, strict=True)]
    return make_batch(rows, [SAMPLE] * 3, [0] * 3, [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])


def test_rows_cut_by_the_limit_leave_statistics_and_loss() -> None:
    """Kept: mean 1/3. Masked: the mean of the other two is 1/2, and 5 tokens carry the loss in place of 9."""
    kept, none = settings(), Composition()
    assert advantages(batch(), kept, none, context())[:, 0].tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    assert loss_weights(batch(), kept, none, context()).count_nonzero() == 9
    masked = settings(overlong="mask")
    assert advantages(batch(), masked, none, context())[:, 0].tolist() == [0.5, -0.5, 0.0]
    weights = loss_weights(batch(), masked, none, context())
    assert weights[:2].sum().item() == pytest.approx(1.0) and weights[2].sum().item() == 0.0
    assert weights[0, 0].item() == pytest.approx(1 / 5)


def test_only_the_limit_masks() -> None:
    """Ended by an environment is not cut by the limit."""
    made = batch((Stop.EOS, Stop.CUT, Stop.ENVIRONMENT))
    assert loss_weights(made, settings(overlong="mask"), Composition(), context()).count_nonzero() == 9


def test_divergence_in_the_reward() -> None:
    """r - beta x sum of (l_old - l_ref) over loss tokens: row 1 has three tokens, each 0.5 above the reference."""
    made, grpo = batch(), settings(kl_place="reward", kl_estimator="k1", kl_beta=0.1)
    gap = torch.tensor([[0.0] * 4, [0.5] * 4, [-0.25] * 4], dtype=torch.float64)
    made.aux = {"logp_old": gap, "logp_ref": torch.zeros(3, 4, dtype=torch.float64)}
    charged = charge_divergence(made, grpo, context()).reward
    assert charged.tolist() == pytest.approx([1.0, -0.15, 0.1])
    untouched = charge_divergence(batch(), settings(), context()).reward
    assert untouched.tolist() == [1.0, 0.0, 0.0]


def test_a_scheduled_coefficient_has_the_value_of_its_step() -> None:
    beta = {"start": 0.2, "end": 0.0, "steps": 2}
    made, grpo = batch(), settings(kl_place="reward", kl_estimator="k1", kl_beta=beta)
    made.aux = {"logp_old": torch.ones(3, 4).double(), "logp_ref": torch.zeros(3, 4).double()}
    second = replace(context(), step=2)
    assert charge_divergence(made, grpo, second).reward.tolist() == pytest.approx([1 - 0.2, -0.3, -0.4])


def test_replayed_rows_keep_their_advantage_and_leave_the_mean() -> None:
    made = batch()
    made.rollouts[2] = replace(made.rollouts[2], extras={"advantage": 7.0})
    found = advantages(made, settings(), Composition(), context())
    assert found[:, 0].tolist() == [0.5, -0.5, 7.0]
    assert found[0, 2:].tolist() == [0.0, 0.0]  # padding


class Doubled(Method):
    """A method's own estimator and a transform."""

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        assert not batch.truncated.any()  # rows that are left out are not shown
        return 2.0 * batch.reward

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        return advantage + 1.0


class Flat(Method):
    """A method's own reducer, which knows nothing of masks."""

    def weigh(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return torch.ones(batch.mask.shape, dtype=torch.float64)


def composed(*methods: Callable[[], Method]) -> Composition:
    return Composition([Active(method.__name__, method()) for method in methods])


def test_a_method_takes_the_place_of_estimator_and_reducer() -> None:
    grpo = settings(overlong="mask")
    found = advantages(batch(), grpo, composed(Doubled), context())
    assert found[:, 0].tolist() == [3.0, 1.0, 1.0]
    assert loss_weights(batch(), grpo, composed(Flat), context()).sum().item() == 5.0
