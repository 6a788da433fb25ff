"""Entropy of the nucleus at peak tokens, held at its initial level."""

from __future__ import annotations

import math

import pytest
import torch
from small_batches import context, forward, tokens

from mmreason.config.schedule import Schedule
from mmreason.objectives.methods.siren import Siren, nucleus_entropy

# H^p of 3 + 1 loss tokens; with tau = 1/2 the quantile of 0.2 0.4 0.6 1.0 is 0.5: M holds 1.0 and 0.6, H = 0.8
ENTROPY = torch.tensor([[0.2, 0.4, 1.0], [0.6, 9.0, 9.0]], dtype=torch.float64)


def penalty(method: Siren, entropy: torch.Tensor, step: int) -> torch.Tensor | None:
    fw = forward(torch.zeros(2, 3), siren=entropy)
    each, scalar = method.regularise(tokens(3, 1), fw, context(step=step))
    assert each is None
    return scalar


def started(**settings: object) -> Siren:
    method = Siren(Siren.Settings.model_validate({"peak": 0.5, **settings}))
    assert penalty(method, ENTROPY, 1) is None
    method.observe(tokens(3, 1), context())
    return method


def test_entropy_of_the_nucleus() -> None:
    # p = 0.5 0.3 0.1 0.1 and mass 0.7: the first two, renormalised to 5/8 and 3/8
    logp = torch.tensor([[0.1, 0.5, 0.1, 0.3], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64).log()
    expected = math.log(8.0) - (5.0 * math.log(5.0) + 3.0 * math.log(3.0)) / 8.0
    assert nucleus_entropy(logp, 0.7).tolist() == pytest.approx([expected, 0.0], abs=1e-15)
    whole = -(logp.exp() * logp).sum(-1)
    assert torch.allclose(nucleus_entropy(logp, 1.1), whole)


def test_banned_ids_and_gradients_stay_finite() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, torch.finfo(torch.float64).min]], dtype=torch.float64, requires_grad=True)
    run = lambda given: nucleus_entropy(torch.log_softmax(given, -1), 0.95)  # noqa: E731
    run(logits).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all() and logits.grad[0, 3] == 0.0
    assert torch.autograd.gradcheck(run, logits.detach()[:, :3].requires_grad_())


def test_the_first_step_sets_the_anchor_and_later_ones_pay_for_leaving_it() -> None:
    method = started(strength=0.5)
    assert method.state() == {"anchor": pytest.approx(0.8)}
    moved = (ENTROPY + 0.3).requires_grad_()  # H = 1.1, loss 0.5 x 0.3^2
    loss = penalty(method, moved, 2)
    assert loss is not None and float(loss.detach()) == pytest.approx(0.045)
    loss.backward()
    # dL/dH = 2 x 0.5 x 0.3 = 0.3; each of the two answers is half of H and has one token in M
    assert moved.grad is not None
    assert torch.allclose(moved.grad, torch.tensor([[0.0, 0.0, 0.15], [0.15, 0.0, 0.0]], dtype=torch.float64))
    same = penalty(method, ENTROPY, 2)
    assert same is not None and float(same) == pytest.approx(0.0, abs=1e-30)


def test_answers_without_a_peak_token_have_no_mean() -> None:
    # tau = 1: M is the single highest token, 1.0 in row 1; row 2 does not pull the mean to 0.5
    method = Siren(Siren.Settings(peak=1.0))
    penalty(method, ENTROPY, 1)
    assert method.seen == [1.0]


def test_the_anchor_is_the_mean_of_the_first_step_and_counters_tell() -> None:
    method, ctx = Siren(Siren.Settings(peak=0.5)), context()
    for shift in (0.0, 0.2):
        method.regularise(tokens(3, 1), forward(torch.zeros(2, 3), siren=ENTROPY + shift), ctx)
    method.observe(tokens(3, 1), ctx)
    assert ctx.logged == {
        "method/siren/tokens": 8.0,
        "method/siren/peak_tokens": 4.0,
        "method/siren/entropy": pytest.approx(0.9),
        "method/siren/anchor": pytest.approx(0.9),
    }


def test_the_anchor_outlives_a_restart() -> None:
    again = Siren(Siren.Settings(peak=0.5, strength=0.5))
    again.load(started().state())
    loss = penalty(again, ENTROPY + 0.3, 2)
    assert loss is not None and float(loss) == pytest.approx(0.045)
    fresh = Siren()
    fresh.load(Siren().state())
    assert fresh.anchor is None


def test_strength_may_be_scheduled() -> None:
    method = started(strength=Schedule(start=1.0, end=0.0))
    end = penalty(method, ENTROPY + 0.3, 10)
    assert end is not None and float(end) == 0.0


def test_without_loss_tokens_nothing_is_added_and_no_anchor_set() -> None:
    method, empty = Siren(), tokens(2)
    empty.mask[:] = False
    assert method.regularise(empty, forward([[-1.0, -2.0]], siren=torch.ones(1, 2)), context()) == (None, None)
    method.observe(empty, context())
    assert method.anchor is None
