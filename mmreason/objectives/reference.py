"""The reference policy of the divergence: the cold start, a moving average of the policy, or adapters switched off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.policy import Policy


class Reference:
    """Scores under the reference. `updates` counts how often a moving average moved."""

    def __init__(self, grpo: GrpoSettings, policy: Policy, start: str | Path, codec: Codec, dtype: str) -> None:
        self.kind, self.decay = grpo.reference, grpo.ema_decay
        self.updates = 0
        self.trained = policy
        if self.kind == "adapter_off":
            if not hasattr(policy.model, "disable_adapter"):
                raise UserError("grpo.reference=adapter_off needs adapters to switch off: set model.lora")
            self.policy = policy
            return
        self.policy = Policy(load_model(start, dtype).eval().requires_grad_(False), codec, grpo.path)
        self.shares = not policy.tower_learns()
        if self.shares:  # one tower pass a picture then serves sampling, update and reference
            self.policy.share_features(policy)
        if self.kind == "ema" and hasattr(policy.model, "disable_adapter"):
            raise UserError("grpo.reference=ema averages whole models: with model.lora use adapter_off or start")

    @contextmanager
    def active(self) -> Iterator[Policy]:
        """The policy that stands for the reference inside the block."""
        if self.kind == "adapter_off":
            model: Any = self.trained.model
            with self.trained.apart(), model.disable_adapter():  # in this order: switched off, a tower looks frozen
                yield self.trained
            return
        yield self.policy
        if not self.shares:
            self.policy.begin_step()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average one update on: decay x average + (1 - decay) x policy."""
        if self.kind != "ema":
            return
        for average, now in zip(self.policy.model.parameters(), self.trained.model.parameters(), strict=True):
            average.lerp_(now.to(average), 1.0 - self.decay)
        self.updates += 1

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps: the average's weights."""
        return dict(self.policy.model.named_parameters()) if self.kind == "ema" else {}

    @torch.no_grad()
    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Inverse of `tensors`."""
        for name, parameter in self.policy.model.named_parameters() if self.kind == "ema" else ():
            parameter.copy_(tensors[name])


def make_reference(grpo: GrpoSettings, policy: Policy, start: str | Path, codec: Codec, dtype: str) -> Reference | None:
    """None where the divergence weighs nothing."""
    return Reference(grpo, policy, start, codec, dtype) if grpo.kl_beta != 0.0 else None
