"""Clipped surrogate and k3 against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmreason.objectives.kl import k3
from mmreason.objectives.ratio import LOG_RATIO_LIMIT, make_ratio
from mmreason.objectives.surrogate import cut_tokens, token_loss

F64 = torch.float64


def clipped_surrogate(
    logp: torch.Tensor, old: torch.Tensor, advantage: torch.Tensor, clip_low: float, clip_high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the update puts it together for plain GRPO: loss of each token and the tokens cut."""
    ratio, low, high = make_ratio("token", logp, old, torch.ones_like(logp).bool()), 1.0 - clip_low, 1.0 + clip_high
    return token_loss("clip", ratio, advantage, low, high, logp), cut_tokens(ratio, advantage, low, high)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "cut"),
    [
        (1.0, 2.0, -2.0, False),  # on policy: minus the advantage
        (1.0, -2.0, 2.0, False),
        (1.5, 2.0, -2.4, True),  # min(1.5, 1.2) x 2
        (1.5, -2.0, 3.0, False),  # min(-3, -2.4): a bad answer that grew is pushed back in full
        (0.5, 2.0, -1.0, False),  # min(1, 1.6): a good answer that shrank is pulled back in full
        (0.5, -2.0, 1.6, True),  # min(-1, -1.6)
        (1.19, 2.0, -2.38, False),  # inside the band
        (0.81, -2.0, 1.62, False),
        (9.0, 0.0, 0.0, False),
    ],
)
def test_surrogate_by_hand(ratio: float, advantage: float, loss: float, cut: bool) -> None:
    logp = torch.tensor([[math.log(ratio) - 3.0]], dtype=F64, requires_grad=True)
    found, mask = clipped_surrogate(logp, torch.tensor([[-3.0]], dtype=F64), torch.tensor([[advantage]]), 0.2, 0.2)
    assert found.item() == pytest.approx(loss, rel=1e-12)
    assert mask.item() is cut
    found.sum().backward()
    assert logp.grad is not None
    # d(-rho A)/d logp = -rho A where the clip leaves the gradient
    assert logp.grad.item() == pytest.approx(0.0 if cut else -ratio * advantage, rel=1e-12)


def test_the_two_clips_are_apart() -> None:
    logp, old = torch.tensor([[math.log(1.25), math.log(0.85)]], dtype=F64), torch.zeros(1, 2, dtype=F64)
    high, cut = clipped_surrogate(logp, old, torch.tensor([[1.0]], dtype=F64), 0.1, 0.28)
    torch.testing.assert_close(high, torch.tensor([[-1.25, -0.85]], dtype=F64))
    assert not cut.any()
    low, cut = clipped_surrogate(logp, old, torch.tensor([[-1.0]], dtype=F64), 0.1, 0.28)
    torch.testing.assert_close(low, torch.tensor([[1.25, 0.9]], dtype=F64))
    assert cut.tolist() == [[False, True]]


def test_one_advantage_a_row_or_one_a_token() -> None:
    generator = torch.Generator().manual_seed(0)
    logp, old = (torch.randn(2, 3, dtype=F64, generator=generator) for _ in range(2))
    row = torch.tensor([[1.0], [-1.0]], dtype=F64)
    assert torch.equal(
        clipped_surrogate(logp, old, row, 0.2, 0.2)[0], clipped_surrogate(logp, old, row.expand(2, 3), 0.2, 0.2)[0]
    )


def test_a_collapsed_token_stays_finite() -> None:
    logp, old = torch.tensor([[0.0, -1e4]]), torch.tensor([[-1e4, 0.0]])
    loss, _ = clipped_surrogate(logp, old, torch.tensor([[-1.0]]), 0.2, 0.2)
    assert torch.isfinite(loss).all()
    assert loss[0, 0].item() == pytest.approx(math.exp(LOG_RATIO_LIMIT), rel=1e-5)
    assert torch.isfinite(k3(logp, old)).all()


@pytest.mark.parametrize(
    ("logp", "reference", "expected"),
    [
        (math.log(0.5), math.log(0.5), 0.0),
        (math.log(0.5), math.log(0.25), 0.5 - math.log(0.5) - 1.0),  # pi_ref / pi = 1/2
        (math.log(0.25), math.log(0.5), 2.0 - math.log(2.0) - 1.0),  # pi_ref / pi = 2
    ],
)
def test_k3_by_hand(logp: float, reference: float, expected: float) -> None:
    found = k3(torch.tensor([[logp]], dtype=F64), torch.tensor([[reference]], dtype=F64)).item()
    assert found == pytest.approx(expected, abs=1e-15)


def test_k3_is_the_divergence_on_average() -> None:
    """Over all tokens, weighted by pi, k3 sums to KL(pi || pi_ref) exactly."""
    pi = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    ref = torch.tensor([0.2, 0.2, 0.6], dtype=F64)
    torch.testing.assert_close((pi * k3(pi.log(), ref.log())).sum(), (pi * (pi / ref).log()).sum())


def test_k3_pulls_towards_the_reference() -> None:
    logp = torch.tensor([-2.0, -0.5], dtype=F64, requires_grad=True)
    k3(logp, torch.tensor([-1.0, -1.0], dtype=F64)).sum().backward()
    assert logp.grad is not None
    expected = [1.0 - math.exp(1.0), 1.0 - math.exp(-0.5)]  # 1 - exp(d): raise the first, lower the second
    torch.testing.assert_close(logp.grad, torch.tensor(expected, dtype=F64))
