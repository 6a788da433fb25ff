"""The tokens of highest covariance are held near the policy before the update."""

from __future__ import annotations

import math

import pytest
import torch
from small_batches import context, forward, tokens

from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim
from mmreason.errors import UserError
from mmreason.objectives.method import Forward, Ratio
from mmreason.objectives.methods.kl_cov import KlCov

# As in test_clip_cov: cov = 2 1 -1 6; the old log-probabilities differ by +0.5, 0, 0, -0.25.
ADVANTAGE = torch.tensor([[3.0], [-1.0]], dtype=torch.float64).expand(2, 3)
LOGP = [[-1.0, -2.0, -4.0], [-5.0, 0.0, 0.0]]
OLD = [[-1.5, -2.0, -4.0], [-4.75, 0.0, 0.0]]


def ruled(logp: torch.Tensor | list[list[float]], old: list[list[float]] | None = None) -> Forward:
    fw = forward(logp, old)
    fw.ratio = Ratio((fw.logp - fw.old).exp(), 0.8, 1.2)
    return fw


@pytest.mark.parametrize(("share", "held"), [(2e-3, [[0, 0, 0], [1, 0, 0]]), (0.5, [[1, 0, 0], [1, 0, 0]])])
def test_the_top_share_pays_for_its_distance(share: float, held: list[list[int]]) -> None:
    ctx = context()
    method = KlCov(KlCov.Settings(share=share, beta=2.0))
    loss = method.surrogate(ADVANTAGE, tokens(3, 1), ruled(LOGP, OLD), ctx)
    # -rho A without any clip: rho = e^0.5 on the first token, e^-0.25 on the last; beta |l - l_old| = 1.0 and 0.5
    plain = [[-3.0 * math.exp(0.5), -3.0, -3.0], [math.exp(-0.25), 1.0, 1.0]]
    extra = torch.tensor(held) * torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(loss, torch.tensor(plain, dtype=torch.float64) + extra, atol=1e-12, rtol=0.0)
    assert ctx.logged["method/kl_cov/held_tokens"] == sum(map(sum, held))
    assert ctx.logged["method/kl_cov/distance"] == float(extra.sum()) / 2.0


def test_the_distance_pulls_back_and_is_flat_at_zero() -> None:
    logp = torch.tensor(LOGP, dtype=torch.float64, requires_grad=True)
    micro, method = tokens(3, 1), KlCov(KlCov.Settings(share=0.5))
    plain = torch.tensor([[-3.0, -3.0, -3.0], [1.0, 0.0, 0.0]], dtype=torch.float64)  # d(-rho A)/dl = -rho A
    fw = ruled(logp, OLD)
    method.surrogate(ADVANTAGE, micro, fw, context())[micro.mask].sum().backward()
    assert logp.grad is not None and fw.ratio is not None
    pull = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)  # sign(l - l_old) where held
    assert torch.allclose(logp.grad, plain * fw.ratio.ratio.detach() + pull)
    logp.grad = None
    method.surrogate(ADVANTAGE, micro, ruled(logp), context())[micro.mask].sum().backward()
    assert torch.equal(logp.grad, plain)


@pytest.mark.parametrize("lengths", [(1,), (2, 2), (0, 3)])
def test_equal_advantages_hold_nothing(lengths: tuple[int, ...]) -> None:
    micro, ctx = tokens(*lengths), context()
    loss = KlCov().surrogate(torch.ones(micro.mask.shape), micro, ruled(torch.randn(micro.mask.shape)), ctx)
    assert torch.equal(loss, -torch.ones_like(loss))
    assert ctx.logged["method/kl_cov/held_tokens"] == 0


def test_without_loss_tokens() -> None:
    micro = tokens(2)
    micro.mask[:] = False
    loss = KlCov().surrogate(torch.ones(1, 2), micro, ruled([[-1.0, -2.0]]), context())
    assert torch.isfinite(loss).all()


def test_losses_of_the_recipe_that_would_not_be_used_are_refused() -> None:
    plain = GrpoSettings(optim=Optim(lr=1e-6), steps=1)
    KlCov().check(plain)
    for change in ({"surrogate": "cispo"}, {"dual_clip": 3.0}):
        with pytest.raises(UserError, match="would not be used; set surrogate=clip and dual_clip=null"):
            KlCov().check(plain.model_copy(update=change))
