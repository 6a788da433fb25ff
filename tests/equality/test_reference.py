"""The reference policy: one tower pass with the policy where the tower is frozen, the tower's own weights where not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mmreason.config.recipe import GrpoSettings, Lora, ModelSettings, Optim
from mmreason.groups.tree import Branch, Tree
from mmreason.models.load import prepare_for_training, save_checkpoint
from mmreason.models.policy import Policy
from mmreason.objectives.reference import Reference

if TYPE_CHECKING:
    from conftest import Setup

SEEING = pytest.mark.parametrize("setup", ["qwen2_5_vl"], indirect=True)


def policy_of(setup: Setup, *, frozen: bool) -> Policy:
    """Adapters that do something, over a tower that is frozen or has adapters of its own."""
    settings = ModelSettings(path="here", dtype="float64", lora=Lora(rank=4, alpha=8), freeze_vision=frozen)
    model = prepare_for_training(copy.deepcopy(setup.model), settings)
    for name, parameter in model.named_parameters():
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter)
    return Policy(model, setup.codec)


def trees(policy: Policy, setup: Setup) -> list[Tree]:
    prompts = [setup.codec.encode(sample) for sample in setup.samples]
    return [policy.tree([Branch(p.ids, ids, p.media) for ids in ([40, 41], [42, 43, 44])]) for p in prompts]


def reference_of(setup: Setup, policy: Policy, kind: str, folder: Path) -> Reference:
    save_checkpoint(setup.model, setup.codec, folder)
    grpo = GrpoSettings(optim=Optim(lr=1.0), steps=1, reference=kind)  # type: ignore[arg-type]
    return Reference(grpo, policy, folder, setup.codec, "float64")


@contextmanager
def counted(*models: Any) -> Iterator[list[int]]:
    """Calls of the towers."""
    calls: list[int] = []
    towers = [next(m for name, m in model.named_modules() if name.endswith("visual")) for model in models]
    handles = [tower.register_forward_hook(lambda *_: calls.append(1)) for tower in towers]
    yield calls
    for handle in handles:
        handle.remove()


@torch.no_grad()
def scores(policy: Policy, setup: Setup) -> torch.Tensor:
    return policy(trees(policy, setup))["logp"]


@SEEING
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("kind", ["start", "adapter_off"])
def test_it_is_the_model_without_adapters(setup: Setup, tmp_path: Path, kind: str, frozen: bool) -> None:
    """After the policy has seen the pictures with its adapters, and again after the policy is asked once more."""
    policy = policy_of(setup, frozen=frozen)
    reference = reference_of(setup, policy, kind, tmp_path / "start")
    expected, own = scores(Policy(copy.deepcopy(setup.model), setup.codec), setup), scores(policy, setup)
    for _ in range(2):
        with reference.active() as other:
            torch.testing.assert_close(scores(other, setup), expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(scores(policy, setup), own, rtol=0, atol=1e-12)
    assert (own - expected).abs().max() > 1e-3


@SEEING
def test_one_tower_pass_for_policy_and_reference(setup: Setup, tmp_path: Path) -> None:
    policy = policy_of(setup, frozen=True)
    reference = reference_of(setup, policy, "start", tmp_path / "start")
    with counted(policy.model, reference.policy.model) as calls:
        for step in range(2):
            policy.begin_step()
            scores(policy, setup)
            with reference.active() as other:
                scores(other, setup)
            policy(trees(policy, setup))
            assert len(calls) == step + 1  # all pictures of the step in one call


@SEEING
def test_a_learning_tower_leaves_nothing_behind(setup: Setup, tmp_path: Path) -> None:
    """The reference's own features go with the step: a run must not gather those of its whole data set."""
    policy = policy_of(setup, frozen=False)
    reference = reference_of(setup, policy, "start", tmp_path / "start")
    with reference.active() as other:
        scores(other, setup)
        assert other._features
    assert not reference.policy._features
