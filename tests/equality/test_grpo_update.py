"""One GRPO update: its gradient is that of the formula, whatever the micro-batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Optim
from mmreason.models.learner import Learner
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.project import load_module, project_dir

if TYPE_CHECKING:
    from conftest import Setup

grpo = load_module(project_dir() / "training" / "grpo.py")
OPTIM = Optim(lr=1e-3, max_grad_norm=1e9)


class Recording(Learner):
    """Keeps the gradient of the last update."""

    def step(self, number: int) -> dict[str, float]:
        self.gradient = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        return super().step(number)


def settings(**values: object) -> GrpoSettings:
    return GrpoSettings.model_validate({"optim": OPTIM, "steps": 1, "kl_beta": 0.3, **values})


def rows_of(setup: Setup) -> list[object]:
    """Two answers a question, of unlike lengths; old log-probabilities far enough off that some are clipped."""
    rows, generator = [], torch.Generator().manual_seed(0)
    for index, sample in enumerate(setup.samples):
        prompt = setup.codec.encode(sample)
        for member, advantage in enumerate((1.0, -0.7)):
            ids = list(range(40 + index, 42 + 2 * index + 3 * member))
            batch = make_rows([prompt], [ids], setup.codec.pad_id, setup.model.device)
            with torch.no_grad():
                logp = response_logprobs(setup.model, batch, 1.0, setup.codec.visual_ids)[0][0]
            old, reference = (logp + 0.3 * torch.randn(len(ids), generator=generator).double() for _ in range(2))
            rows.append(grpo.Row(prompt, ids, advantage, old, reference))
    return rows


def updated(setup: Setup, folder: Path, given: GrpoSettings) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Gradient and metrics of one update; the weights are put back."""
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    learner = Recording(setup.model, OPTIM, 1, folder)
    metrics = grpo.update(learner, rows_of(setup), setup.codec, given, 1)
    setup.model.load_state_dict(before)
    return [torch.zeros(()) if g is None else g for g in learner.gradient], metrics


@pytest.mark.parametrize("mean", ["token", "sequence"])
def test_micro_batches_do_not_change_the_gradient(setup: Setup, tmp_path: Path, mean: str) -> None:
    whole, metrics = updated(setup, tmp_path, settings(micro_batch=100, loss_mean=mean))
    assert metrics["clip_frac"] > 0.0
    assert metrics["kl_ref"] > 0.0
    assert any(gradient.abs().max() > 1e-3 for gradient in whole)
    for size in (1, 3):
        parts, same = updated(setup, tmp_path, settings(micro_batch=size, loss_mean=mean))
        for name in metrics:
            assert same[name] == pytest.approx(metrics[name], rel=1e-6), name  # the token weights are float32
        for one, other in zip(whole, parts, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("mean", ["token", "sequence"])
def test_the_loss_is_the_formula(setup: Setup, tmp_path: Path, mean: str) -> None:
    """Token by token in plain Python: -min(rho A, clip(rho) A) + beta (exp d - d - 1)."""
    given = settings(micro_batch=2, loss_mean=mean, clip_low=0.1, clip_high=0.2)
    rows, sums, count, cut = rows_of(setup), [], 0, 0
    for row in rows:
        batch = make_rows([row.prompt], [row.ids], setup.codec.pad_id, setup.model.device)
        with torch.no_grad():
            logp = response_logprobs(setup.model, batch, 1.0, setup.codec.visual_ids)[0][0].tolist()
        losses = []
        for now, old, reference in zip(logp, row.old.tolist(), row.reference.tolist(), strict=True):
            ratio, a, d = math.exp(now - old), row.advantage, reference - now
            losses.append(-min(ratio * a, min(max(ratio, 0.9), 1.2) * a) + 0.3 * (math.exp(d) - d - 1))
            cut += (a > 0 and ratio > 1.2) or (a < 0 and ratio < 0.9)
        sums.append(sum(losses) / (len(losses) if mean == "sequence" else 1))
        count += len(losses)
    _, metrics = updated(setup, tmp_path, given)
    assert metrics["loss"] == pytest.approx(sum(sums) / (len(rows) if mean == "sequence" else count), rel=1e-6)
    assert metrics["clip_frac"] == pytest.approx(cut / count)


def test_equal_rewards_and_no_divergence_change_nothing(setup: Setup, tmp_path: Path) -> None:
    rows = [grpo.Row(r.prompt, r.ids, 0.0, r.old, None) for r in rows_of(setup)]
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    learner = Learner(setup.model, OPTIM, 1, tmp_path)
    metrics = grpo.update(learner, rows, setup.codec, settings(kl_beta=0.0), 1)
    assert metrics["loss"] == metrics["grad_norm"] == 0.0
    assert all(torch.equal(value, before[name]) for name, value in setup.model.state_dict().items())


def test_frozen_logprobs_are_those_of_the_rows(setup: Setup) -> None:
    """Their micro-batches cut the answers in order, and what comes back is one tensor an answer, unpadded."""
    prompts = [setup.codec.encode(sample) for sample in setup.samples]
    pairs = [(prompt, list(range(40, 42 + index))) for index, prompt in enumerate(prompts)]
    found = grpo.frozen_logprobs(setup.model, pairs, setup.codec, settings(micro_batch=2))
    for (prompt, ids), logp in zip(pairs, found, strict=True):
        batch = make_rows([prompt], [ids], setup.codec.pad_id, setup.model.device)
        with torch.no_grad():
            alone = response_logprobs(setup.model, batch, 1.0, setup.codec.visual_ids)[0][0]
        assert len(logp) == len(ids)
        torch.testing.assert_close(logp, alone, rtol=0, atol=1e-11)
