"""Our losses against numbers that TRL 1.16's own code gave for one batch (`benchmarks/trl_losses.py` writes them).

Where the two define a thing differently, the test says so. TRL divides by the deviation of a sample (ddof 1) plus
1e-4, we by the population's plus 1e-6; its CISPO bound is the ratio, as ours is after adding 1; a token that its masked
mismatch keeps goes on with the weight exp(old - engine), ours with 1; the numbers are without the factor that TRL by
default puts on the divergence, the ratio.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.groups.tree import Tree
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import compose
from mmreason.objectives.credit import loss_weights
from mmreason.objectives.method import Context
from mmreason.objectives.update import Grown, micro_loss
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop

HELD: dict[str, Any] = json.loads((Path(__file__).parent / "trl_losses.json").read_text(encoding="utf-8"))
LENGTHS, WIDTH = HELD["lengths"], HELD["max_completion_length"]
MASK = torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]
MEANS = {"grpo": "sequence", "bnpo": "token", "dapo": "token", "cispo": "token", "dr_grpo": "constant"}


def given(name: str) -> torch.Tensor:
    """[8, 12] in float64: logp, old, ref or sampling (the engine's)."""
    return torch.tensor(HELD["inputs"][name], dtype=torch.float64)


def trls(name: str, key: str) -> torch.Tensor:
    return torch.tensor(HELD["cases"][name][key], dtype=torch.float64)


def batch(**aux: torch.Tensor) -> Batch:
    """Eight answers of the held lengths in two groups, with the engine's log-probabilities."""
    source, question = Source("own", "train", "Apache-2.0", "0"), (Message.of(Role.USER, "?"),)
    number = [row // HELD["group"] for row in range(len(LENGTHS))]
    samples = [Sample(f"s{group}", source, question, Answer(AnswerKind.NUMBER, "1")) for group in number]
    engine = [row[:length].tolist() for row, length in zip(given("sampling"), LENGTHS, strict=True)]
    rollouts = [Rollout((1,), (2,) * len(row), tuple(row), "", Stop.EOS) for row in engine]
    made = make_batch(rollouts, samples, number, HELD["rewards"], [0.0] * len(LENGTHS))
    made.aux |= aux
    return made


def settings(name: str) -> GrpoSettings:
    """Our settings for a case of TRL's."""
    theirs = HELD["cases"][name]["settings"]
    cispo = theirs["loss_type"] == "cispo"
    mode = theirs.get("vllm_importance_sampling_mode")
    ours = {
        "surrogate": "cispo" if cispo else "clip",
        "ratio": theirs.get("importance_sampling_level", "token"),
        "clip_low": theirs["epsilon"],
        "clip_high": theirs.get("epsilon_high", theirs["epsilon"]) - cispo,
        "dual_clip": theirs.get("delta"),
        "kl_beta": theirs["beta"],
        "loss_mean": MEANS[theirs["loss_type"]],
        "mismatch": {None: "off", "token_truncate": "truncate", "token_mask": "mask"}.get(mode, mode),
        "mismatch_cap": theirs.get("vllm_importance_sampling_clip_max", 2.0),
        "mismatch_floor": theirs.get("vllm_importance_sampling_clip_min", 0.5),
        "sampling": {"max_new_tokens": WIDTH},
        "group_size": HELD["group"],
    }
    return GrpoSettings.model_validate({"optim": {"lr": 1.0}, "steps": 1, **ours})


class Prescribed(torch.nn.Module):
    """In the policy's place: log-probabilities that are given."""

    def __init__(self, logp: torch.Tensor) -> None:
        super().__init__()
        self.logp = logp

    def forward(self, trees: object, temperature: float, extras: object) -> dict[str, torch.Tensor]:
        return {"logp": self.logp, "entropy": torch.zeros_like(self.logp)}


def assert_same(name: str, rel: float = 1e-9, factor: torch.Tensor | None = None) -> None:
    """Loss and its gradient at every log-probability, on TRL's advantages; `factor` [8, 12] on each token's weight."""
    grpo, logp = settings(name), given("logp").requires_grad_()
    made, composition = batch(logp_old=given("old"), logp_ref=given("ref")), compose(grpo)
    ctx = Context(1, 1, 0, grpo.group_size, grpo.sampling)
    weights = loss_weights(made, grpo, composition, ctx) * (1.0 if factor is None else factor)
    advantage = trls(name, "advantages")[:, None].expand(MASK.shape)
    tree = cast(Tree, None)  # only the policy would look at it
    chosen = [Grown(tree, list(range(len(LENGTHS))))]
    loss, _ = micro_loss(Prescribed(logp), made, chosen, advantage, weights, grpo, composition, ctx)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(HELD["cases"][name]["loss"], rel=rel)
    torch.testing.assert_close(logp.grad, trls(name, "gradient"), rtol=rel, atol=rel * 1e-3)


@pytest.mark.parametrize("name", [name for name, case in HELD["cases"].items() if case["weights"] is None])
def test_loss_and_gradient_are_trls(name: str) -> None:
    assert_same(name)


def test_every_clip_acts_in_the_batch() -> None:
    """Otherwise the comparison would say nothing: some gradients vanish under each rule, and not all."""
    for name in ("grpo", "dr_grpo", "dapo", "gspo"):
        zero = trls(name, "gradient")[MASK] == 0
        assert 0 < int(zero.sum()) < int(MASK.sum()), name
    assert not torch.equal(trls("dapo", "gradient"), trls("bnpo", "gradient"))
    assert not torch.equal(trls("grpo_two_sided", "gradient"), trls("grpo", "gradient"))
    assert bool((trls("cispo", "gradient")[MASK] != 0).all())


@pytest.mark.parametrize("name", ["tis", "tis_sequence"])
def test_truncated_importance_sampling_is_trls(name: str) -> None:
    assert len(trls(name, "weights").unique()) > 2
    assert_same(name, rel=1e-6)  # TRL holds the engine's log-probabilities in float32


def test_masked_mismatch_leaves_out_the_tokens_that_trl_leaves_out() -> None:
    theirs = trls("mis", "weights")
    assert 0 < int((theirs[MASK] == 0).sum()) < int(MASK.sum())
    assert_same("mis", rel=1e-6, factor=torch.where(theirs == 0, 1.0, theirs))  # ours keeps with 1


def test_advantages_are_trls_but_for_the_deviations_definition() -> None:
    counted = torch.ones(len(LENGTHS), dtype=torch.bool)
    rewards = torch.tensor(HELD["rewards"], dtype=torch.float64)
    groups = rewards.reshape(-1, HELD["group"])
    centred, group, lite = (estimate(batch(), kind, counted) for kind in ("centred", "group", "lite"))
    torch.testing.assert_close(centred, trls("dr_grpo", "advantages"), rtol=0, atol=1e-7)
    factor = (groups.std(1, correction=0) + 1e-6) / (groups.std(1) + 1e-4)
    theirs = trls("grpo", "advantages")
    torch.testing.assert_close(group * factor.repeat_interleave(HELD["group"]), theirs, rtol=1e-6, atol=0)
    factor = (rewards.std(correction=0) + 1e-6) / (rewards.std() + 1e-4)
    torch.testing.assert_close(lite * factor, trls("batch_scale", "advantages"), rtol=1e-6, atol=0)
