"""The loop for reading and the full trainer give one loss and one gradient on one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Optim
from mmreason.models.policy import Policy
from mmreason.models.rows import make_rows
from mmreason.objectives.batch import make_batch
from mmreason.objectives.compose import Composition
from mmreason.objectives.credit import advantages, loss_weights
from mmreason.objectives.method import Context
from mmreason.objectives.update import grow, micro_loss
from mmreason.project import load_module, project_dir
from mmreason.records import Rollout, Stop

if TYPE_CHECKING:
    from conftest import Setup

minimal = load_module(project_dir() / "training" / "minimal_grpo.py")
REWARDS = [[1.0, 0.0, 0.5], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.2, 0.1, 0.4]]


def test_one_loss_and_one_gradient(setup: Setup) -> None:
    prompts = [setup.codec.encode(sample) for sample in setup.samples for _ in range(3)]
    answers = [tuple(range(40 + row, 42 + 2 * row)) for row in range(len(prompts))]
    rewards = torch.tensor(REWARDS[: len(setup.samples)], dtype=torch.float64)
    rows = make_rows(prompts, answers, setup.codec.pad_id, setup.model.device)
    with torch.no_grad():
        old = minimal.logprobs(setup.model, rows, setup.codec)
    old = torch.where(rows.mask, old + 0.3 * torch.randn(old.shape, generator=torch.Generator().manual_seed(0)), 0.0)

    setup.model.zero_grad(set_to_none=True)
    loss = minimal.grpo_loss(
        minimal.logprobs(setup.model, rows, setup.codec),
        old,
        minimal.group_advantage(rewards).reshape(-1, 1),
        rows.mask,
    )
    loss.backward()
    theirs = {name: p.grad.clone() for name, p in setup.model.named_parameters() if p.grad is not None}

    setup.model.zero_grad(set_to_none=True)
    grpo = GrpoSettings(optim=Optim(lr=1.0), steps=1, kl_beta=0.0)
    policy, ctx, none = Policy(setup.model, setup.codec), Context(1, 1, 0, 3, grpo.sampling), Composition()
    batch = make_batch(
        [Rollout(tuple(p.ids), ids, (0.0,) * len(ids), "", Stop.EOS) for p, ids in zip(prompts, answers, strict=True)],
        [sample for sample in setup.samples for _ in range(3)],
        [index for index in range(len(setup.samples)) for _ in range(3)],
        rewards.flatten().tolist(),
        [0.0] * len(prompts),
        {},
        [prompt.media for prompt in prompts],
    )
    batch.aux["logp_old"] = old
    spread = advantages(batch, grpo, none, ctx)
    mine, _ = micro_loss(
        policy, batch, grow(policy, batch), spread, loss_weights(batch, grpo, none, ctx), grpo, none, ctx
    )
    mine.backward()

    assert mine.item() == pytest.approx(loss.item(), rel=1e-11)
    for name, parameter in setup.model.named_parameters():
        if name in theirs:
            torch.testing.assert_close(parameter.grad, theirs[name], rtol=1e-8, atol=1e-12)
