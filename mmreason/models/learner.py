"""A model with its optimiser: accumulate, step, save and resume exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from mmreason.config.recipe import Optim
from mmreason.models.checkpoint import Tensors, drop_old, intact, load_kept, read_state, save_kept, step_folders
from mmreason.models.codec import Codec
from mmreason.models.load import save_checkpoint
from mmreason.models.policy import Policy
from mmreason.models.weights import full_weights
from mmreason.run.files import replacing_folder, write_text


def learning_rate(optim: Optim, step: int, steps: int) -> float:
    """Rate of update `step` (1-based) of `steps`: linear warm-up, then constant, linear or cosine to 0."""
    warm = math.ceil(optim.warmup * steps)
    if step <= warm:
        return optim.lr * step / warm
    gone = (step - 1 - warm) / max(steps - warm, 1)
    factor = {"constant": 1.0, "linear": 1.0 - gone, "cosine": 0.5 * (1.0 + math.cos(math.pi * gone))}
    return optim.lr * factor[optim.schedule]


class Learner:
    """AdamW over the trainable parameters of `model`. One optimiser update = any `backward`s, then `step`.

    `model` is what training calls, a policy or a transformers model; `inner` is the transformers model.
    """

    whole = True
    """Whether `model` holds every weight in this process, so that it can sample."""

    def __init__(self, model: Policy | PreTrainedModel, optim: Optim, steps: int, folder: Path) -> None:
        self.model: Any = model
        self.inner = model.model if isinstance(model, Policy) else model
        self.optim = optim
        self.steps = steps
        self.folder = folder
        self.names, self.parameters = zip(
            *((name, p) for name, p in self.inner.named_parameters() if p.requires_grad), strict=True
        )
        self.adamw = torch.optim.AdamW(self.parameters, lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay)

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        """Add the gradient of one micro-batch. `last` before `step`: learners of several processes exchange then."""
        loss.backward()

    def step(self, number: int) -> dict[str, float]:
        """Clip, update with the rate of update `number` (1-based), clear. Raises on a gradient that is not finite."""
        rate = learning_rate(self.optim, number, self.steps)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.optim.max_grad_norm))
        if not math.isfinite(norm):
            raise FloatingPointError(f"update {number}: gradient norm is {norm}; lower the rate or look at the batch")
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return {"grad_norm": norm, "lr": rate}

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(name, tensor) of the plain transformers model, adapters merged; for engines that keep a copy."""
        return full_weights(self.inner)

    def export(self, codec: Codec, path: Path) -> None:
        """Write the finished model in transformers layout. Adapters are merged for good: the last thing to do."""
        save_checkpoint(self.inner, codec, path)

    def save(
        self, step: int, updates: int, state: dict[str, Any] | None = None, tensors: Tensors | None = None
    ) -> None:
        """Write weights, optimiser and frontier beside and rename; the last two checkpoints stay.

        `state` (JSON-ready) and `tensors` are what the flow keeps across steps besides.
        """
        target = self.folder / f"step_{step:06d}"
        with replacing_folder(target) as beside:
            weights = dict(zip(self.names, (p.detach() for p in self.parameters), strict=True))
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, beside / "weights.safetensors")
            save_file(self._moments(), beside / "optimiser.safetensors")
            write_text(beside / "state.json", json.dumps({"step": step, "updates": updates, "kept": state or {}}))
            save_kept(beside, tensors)
        drop_old(self.folder)

    def kept(self) -> tuple[dict[str, Any], Tensors]:
        """`state` and `tensors` of the newest checkpoint, empty where there is none."""
        found = step_folders(self.folder)
        return load_kept(found[-1][1]) if found else ({}, {})

    def resume(self) -> tuple[int, int]:
        """Load the newest checkpoint of `folder`; (step, updates), both 0 where there is none."""
        found = step_folders(self.folder)
        if not found:
            return 0, 0
        _, path = found[-1]
        weights, moments = (intact(load_file, path / f"{name}.safetensors") for name in ("weights", "optimiser"))
        state = intact(read_state, path / "state.json")
        with torch.no_grad():
            for name, parameter in zip(self.names, self.parameters, strict=True):
                parameter.copy_(weights[name])
                if f"{name}.exp_avg" in moments:
                    self.adamw.state[parameter] = {
                        "step": moments[f"{name}.step"],
                        "exp_avg": moments[f"{name}.exp_avg"].to(parameter.device),
                        "exp_avg_sq": moments[f"{name}.exp_avg_sq"].to(parameter.device),
                    }
        return int(state["step"]), int(state["updates"])

    def _moments(self) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": tensor.contiguous()
            for name, parameter in zip(self.names, self.parameters, strict=True)
            for key, tensor in self.adamw.state.get(parameter, {}).items()
        }
