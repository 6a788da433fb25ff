"""One GRPO update against the formulas in plain Python, whatever the path and the micro-batches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Optim
from mmreason.models.learner import Learner
from mmreason.models.policy import Policy
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.objectives.batch import Batch, make_batch, pad
from mmreason.objectives.compose import Composition
from mmreason.objectives.credit import loss_weights
from mmreason.objectives.diagnostics_update import UpdateSums
from mmreason.objectives.method import Context
from mmreason.objectives.passes import frozen, teacher_forced
from mmreason.objectives.update import grow, update
from mmreason.records import Rollout, Stop

if TYPE_CHECKING:
    from conftest import Setup

OPTIM = Optim(lr=1e-3, max_grad_norm=1e9)
ADVANTAGES = (1.0, -0.7, 0.4)
METHODS = Composition()
ONE_FAMILY = pytest.mark.parametrize("setup", ["qwen2"], indirect=True)


class Recording(Learner):
    """Keeps the gradient of the last update."""

    def step(self, number: int) -> dict[str, float]:
        self.gradient = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        return super().step(number)


def settings(**values: object) -> GrpoSettings:
    return GrpoSettings.model_validate({"optim": OPTIM, "steps": 1, "kl_beta": 0.3, "micro_tokens": 10**6, **values})


def context(grpo: GrpoSettings) -> Context:
    return Context(1, 1, 0, len(ADVANTAGES), grpo.sampling)


def given(setup: Setup) -> Batch:
    """Three answers a question, of unlike lengths; old log-probabilities so far off that some tokens are clipped."""
    rollouts, samples, groups, media, old, reference = [], [], [], [], [], []
    generator = torch.Generator().manual_seed(0)
    for index, sample in enumerate(setup.samples):
        prompt = setup.codec.encode(sample)
        for member in range(len(ADVANTAGES)):
            ids = list(range(40 + index, 42 + 2 * index + 3 * member))
            rows = make_rows([prompt], [ids], setup.codec.pad_id, setup.model.device)
            with torch.no_grad():
                logp = response_logprobs(setup.model, rows, 1.0, setup.codec.visual_ids)[0][0]
            noise = [0.3 * torch.randn(len(ids), generator=generator).double() for _ in range(3)]
            old.append(logp + noise[0])
            reference.append(logp + noise[1])
            roll = tuple((old[-1] + noise[2]).tolist())
            rollouts.append(Rollout(tuple(prompt.ids), tuple(ids), roll, "", Stop.EOS))
            samples.append(sample)
            groups.append(index)
            media.append(prompt.media)
    batch = make_batch(rollouts, samples, groups, [0.0] * len(rollouts), [0.0] * len(rollouts), {}, media)
    batch.aux = {"logp_old": pad(old), "logp_ref": pad(reference)}
    return batch


def advantage_of(batch: Batch) -> torch.Tensor:
    rows = torch.tensor(ADVANTAGES, dtype=torch.float64).repeat(len(batch) // len(ADVANTAGES))
    return rows.unsqueeze(1) * batch.mask


def updated(
    setup: Setup, folder: Path, grpo: GrpoSettings, batch: Batch | None = None
) -> tuple[list[torch.Tensor], dict[str, float]]:
    """Gradient and metrics of one update; the weights are put back."""
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    batch = given(setup) if batch is None else batch
    policy, ctx, sums = Policy(setup.model, setup.codec, grpo.path), context(grpo), UpdateSums()
    learner = Recording(policy, OPTIM, 1, folder)
    weights = loss_weights(batch, grpo, METHODS, ctx)
    made = update(learner, batch, grow(policy, batch), advantage_of(batch), weights, grpo, METHODS, ctx, 1, sums)
    setup.model.load_state_dict(before)
    return [torch.zeros(()) if g is None else g for g in learner.gradient], {**made, **sums.result()}


@pytest.mark.parametrize(("mean", "path"), [("token", "packed"), ("sequence", "cache"), ("prompt", "naive")])
def test_micro_batches_and_paths_do_not_change_the_gradient(setup: Setup, tmp_path: Path, mean: str, path: str) -> None:
    whole, metrics = updated(setup, tmp_path, settings(loss_mean=mean))
    assert metrics["clip_frac"] > 0.0 and metrics["kl_ref"] > 0.0
    assert any(gradient.abs().max() > 1e-5 for gradient in whole)
    for budget in (1, 150):
        parts, same = updated(setup, tmp_path, settings(loss_mean=mean, path=path, micro_tokens=budget))
        for name in ("loss", "entropy", "kl_ref", "clip_frac", "grad_norm", "ratio/max"):
            assert same[name] == pytest.approx(metrics[name], rel=1e-9), name
        for one, other in zip(whole, parts, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


def weight_by_hand(mean: str, length: int, lengths: list[int], group: list[int], row: int, limit: int) -> float:
    if mean == "prompt":
        own = sum(n for n, g in zip(lengths, group, strict=True) if g == group[row])
        return 1.0 / own / len(set(group))
    rows = len(lengths)
    return {
        "token": 1.0 / sum(lengths),
        "sequence": 1.0 / length / rows,
        "sum": 1.0 / rows,
        "constant": 1.0 / rows / limit,
    }[mean]


CASES = [
    {},
    {"loss_mean": "sequence"},
    {"loss_mean": "sum"},
    {"loss_mean": "constant"},
    {"loss_mean": "prompt"},
    {"clip_low": 0.1, "clip_high": 0.28},
    {"dual_clip": 1.05},
    {"ratio": "sequence", "clip_low": 0.03, "clip_high": 0.04, "loss_mean": "sequence"},
    {"ratio": "sequence_token", "clip_low": 0.03, "clip_high": 0.04},
    {"surrogate": "cispo", "clip_high": 0.1},
    {"kl_estimator": "k2"},
    {"kl_estimator": "k3_k2"},
    {"mismatch": "truncate", "mismatch_cap": 1.1},
    {"mismatch": "mask", "mismatch_floor": 0.8, "mismatch_cap": 1.2},
    {"mismatch": "sequence_truncate", "mismatch_cap": 1.1},
    {"mismatch": "sequence_mask", "mismatch_floor": 0.9, "mismatch_cap": 1.1},
]


def loss_by_hand(setup: Setup, batch: Batch, grpo: GrpoSettings) -> float:
    """The whole objective, token by token, in plain Python floats."""
    total, lengths = 0.0, [len(rollout.ids) for rollout in batch.rollouts]
    for row, rollout in enumerate(batch.rollouts):
        prompt = setup.codec.encode(batch.samples[row])
        rows = make_rows([prompt], [rollout.ids], setup.codec.pad_id, setup.model.device)
        with torch.no_grad():
            logp = response_logprobs(setup.model, rows, 1.0, setup.codec.visual_ids)[0][0].tolist()
        n, a = len(logp), ADVANTAGES[row % len(ADVANTAGES)]
        old, reference = (batch.aux[name][row].tolist()[:n] for name in ("logp_old", "logp_ref"))
        gaps = [x - y for x, y in zip(old, rollout.logprobs, strict=True)]
        mean = sum(x - y for x, y in zip(logp, old, strict=True)) / n
        for now, was, other, gap in zip(logp, old, reference, gaps, strict=True):
            ratio = math.exp(now - was) if grpo.ratio == "token" else math.exp(mean)
            low, high = 1.0 - grpo.clip_low, 1.0 + grpo.clip_high
            loss = -min(ratio * a, min(max(ratio, low), high) * a)
            if grpo.dual_clip is not None and a < 0:
                loss = min(loss, -grpo.dual_clip * a)
            if grpo.surrogate == "cispo":
                loss = -min(ratio, high) * a * now
            w = {
                "off": 1.0,
                "truncate": min(math.exp(gap), grpo.mismatch_cap),
                "mask": float(grpo.mismatch_floor <= math.exp(gap) <= grpo.mismatch_cap),
                "sequence_truncate": min(math.exp(sum(gaps)), grpo.mismatch_cap),
                "sequence_mask": float(grpo.mismatch_floor <= math.exp(sum(gaps) / n) <= grpo.mismatch_cap),
            }[grpo.mismatch]
            d = other - now
            kl = 0.5 * d * d if grpo.kl_estimator == "k2" else math.exp(d) - d - 1.0
            weight = weight_by_hand(grpo.loss_mean, n, lengths, batch.group.tolist(), row, grpo.sampling.max_new_tokens)
            total += weight * (w * loss + 0.3 * kl)
    return total


@ONE_FAMILY
@pytest.mark.parametrize("values", CASES, ids=lambda values: "-".join(map(str, values.values())) or "grpo")
def test_the_loss_is_the_formula(setup: Setup, tmp_path: Path, values: dict[str, object]) -> None:
    grpo = settings(**values)
    batch = given(setup)
    _, metrics = updated(setup, tmp_path, grpo, batch)
    assert metrics["loss"] == pytest.approx(loss_by_hand(setup, batch, grpo), rel=1e-9)


@ONE_FAMILY
@pytest.mark.parametrize("values", [{"ratio": "sequence_token"}, {"kl_estimator": "k3_k2"}, {}])
def test_gradients_that_the_value_does_not_show(setup: Setup, tmp_path: Path, values: dict[str, object]) -> None:
    """sequence_token at constant advantages has GSPO's own gradient; k3_k2 has that of k2."""
    twin = {"sequence_token": {"ratio": "sequence"}, "k3_k2": {"kl_estimator": "k2"}}
    other = twin.get(str(next(iter(values.values()), "")), {"path": "naive"})
    one, _ = updated(setup, tmp_path, settings(loss_mean="sequence", **values))
    two, _ = updated(setup, tmp_path, settings(loss_mean="sequence", **other))
    for mine, theirs in zip(one, two, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-10)


def test_equal_rewards_and_no_divergence_change_nothing(setup: Setup, tmp_path: Path) -> None:
    grpo, batch = settings(kl_beta=0.0), given(setup)
    before = {name: value.clone() for name, value in setup.model.state_dict().items()}
    policy = Policy(setup.model, setup.codec)
    learner = Learner(policy, OPTIM, 1, tmp_path)
    zero = torch.zeros(batch.mask.shape, dtype=torch.float64)
    weights = loss_weights(batch, grpo, METHODS, context(grpo))
    made = update(learner, batch, grow(policy, batch), zero, weights, grpo, METHODS, context(grpo), 1)
    assert made["loss"] == made["grad_norm"] == 0.0
    assert all(torch.equal(value, before[name]) for name, value in setup.model.state_dict().items())


def test_without_an_old_pass_the_ratio_is_one(setup: Setup, tmp_path: Path) -> None:
    batch = given(setup)
    batch.aux.pop("logp_old")
    _, metrics = updated(setup, tmp_path, settings(), batch)
    assert metrics["ratio/max"] == metrics["ratio/min"] == 1.0


@pytest.mark.parametrize("budget", [1, 10**6])
def test_frozen_passes_come_back_in_the_order_of_the_rows(setup: Setup, budget: int) -> None:
    """Log-probabilities and entropies of the old pass, and of texts that are given, against each row alone."""
    grpo, batch = settings(micro_tokens=budget), given(setup)
    policy = Policy(setup.model, setup.codec)
    shuffled = batch.take(torch.randperm(len(batch), generator=torch.Generator().manual_seed(3)))
    made = frozen(policy, grow(policy, shuffled), shuffled, grpo, with_entropy=True)
    pairs = [(setup.codec.encode(s), r.ids) for s, r in zip(shuffled.samples, shuffled.rollouts, strict=True)]
    forced = teacher_forced(policy, pairs, setup.codec.pad_id, grpo)
    for row, (prompt, ids) in enumerate(pairs):
        rows = make_rows([prompt], [ids], setup.codec.pad_id, setup.model.device)
        with torch.no_grad():
            logp, entropy = response_logprobs(setup.model, rows, 1.0, setup.codec.visual_ids)
        torch.testing.assert_close(made["logp"][row, : len(ids)], logp[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(made["entropy"][row, : len(ids)], entropy[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(forced[row], logp[0], rtol=0, atol=1e-10)


def test_temperatures_of_single_tokens_are_those_of_the_update(setup: Setup) -> None:
    """Rows whose engine used another temperature at each token are scored at those; shared tokens share theirs."""
    batch, policy = given(setup), Policy(setup.model, setup.codec)
    heats = [[0.5 + 0.25 * place for place in range(len(rollout.ids))] for rollout in batch.rollouts]
    batch.rollouts = [
        replace(rollout, extras={"temperatures": heat}) for rollout, heat in zip(batch.rollouts, heats, strict=True)
    ]
    made = frozen(policy, grow(policy, batch), batch, settings())["logp"][0]
    prompt = setup.codec.encode(batch.samples[0])
    rows = make_rows([prompt], [batch.rollouts[0].ids], setup.codec.pad_id, setup.model.device)
    for place, temperature in enumerate(heats[0]):
        with torch.no_grad():
            alone = response_logprobs(setup.model, rows, temperature, setup.codec.visual_ids)[0][0, place]
        assert float(made[place]) == pytest.approx(float(alone), abs=1e-10)
