"""A learner over FSDP2 (`torch.distributed.fsdp.fully_shard`), with the interface of `learner.Learner`.

Each decoder layer is one unit, embeddings and head with the root another: weights, gradients and AdamW moments are
spread over all processes and gathered unit by unit. The vision tower stays whole in every process, because how often
it runs depends on the pictures a process has; its gradient is summed once an update. A checkpoint is safetensors: what
is spread, one file a process, and what is whole once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from mmreason.config.recipe import Optim
from mmreason.errors import UserError
from mmreason.models.checkpoint import (
    Tensors,
    drop_old,
    intact,
    read_state,
    replacing_together,
    save_kept,
    step_folders,
)
from mmreason.models.codec import Codec
from mmreason.models.families import family_of, plain
from mmreason.models.learner import Learner, learning_rate
from mmreason.models.load import save_checkpoint
from mmreason.models.policy import Policy
from mmreason.models.weights import full_weights
from mmreason.run import processes
from mmreason.run.files import write_text


def spread(model: Policy | PreTrainedModel, inner: PreTrainedModel) -> None:
    """Shard `model`, which holds `inner`, in place. What learns is kept in float32, whatever it computes in."""
    dtype, tower = inner.dtype, getattr(plain(inner).model, "visual", None)
    whole = set(tower.parameters()) if tower is not None else set()
    for parameter in inner.parameters():
        if parameter.requires_grad:
            dist.broadcast(parameter.detach(), 0)
            if parameter not in whole:
                parameter.data = parameter.data.to(torch.promote_types(dtype, torch.float32))
    half = MixedPrecisionPolicy(dtype, torch.float32, cast_forward_inputs=False)
    settings: dict[str, Any] = {
        "mesh": init_device_mesh(inner.device.type, (processes.size(),)),
        "mp_policy": half if dtype == torch.bfloat16 else MixedPrecisionPolicy(),
        "reshard_after_forward": True,
        "ignored_params": whole,
    }
    layers: Any = family_of(inner).decoder(inner).layers
    for module in (*layers, model):
        unit: FSDPModule = fully_shard(module, **settings)
        unit.set_gradient_divide_factor(1.0)  # sums: every process divides by the whole batch itself
        unit.set_force_sum_reduction_for_comms(True)
        unit.unshard()  # what learns is settled at the first gathering, which may come while adapters are switched off
        unit.reshard()


class FsdpLearner(Learner):
    """`model` is what it was, its parameters now DTensors; every process must forward it equally often."""

    whole = False

    def __init__(self, model: Policy | PreTrainedModel, optim: Optim, steps: int, folder: Path) -> None:
        inner = model.model if isinstance(model, Policy) else model
        self.dtype = inner.dtype
        spread(model, inner)
        super().__init__(model, optim, steps, folder)
        named: dict[str, torch.nn.Parameter] = dict(zip(self.names, self.parameters, strict=True))
        self.pieces = {name: each for name, each in named.items() if isinstance(each.data, DTensor)}
        self.kept_whole = {name: each for name, each in named.items() if name not in self.pieces}
        kinds = [list(kind.values()) for kind in (self.pieces, self.kept_whole) if kind]  # no kernel takes both at once
        self.adamw = torch.optim.AdamW(
            [{"params": kind} for kind in kinds], lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
        )

    def step(self, number: int) -> dict[str, float]:
        """See `Learner.step`; the norm is that of the whole gradient."""
        for parameter in self.kept_whole.values():
            if parameter.grad is None:  # a process without pictures
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
        rate, norm = learning_rate(self.optim, number, self.steps), self._norm()
        if not math.isfinite(norm):
            raise FloatingPointError(f"update {number}: gradient norm is {norm}; lower the rate or look at the batch")
        factor = min(self.optim.max_grad_norm / (norm + 1e-6), 1.0)
        for parameter in self.parameters:
            if parameter.grad is not None:
                local(parameter.grad).mul_(factor)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return {"grad_norm": norm, "lr": rate}

    def _norm(self) -> float:
        """L2 norm over all parameters and processes."""
        squares = [
            sum(float(local(p.grad).square().sum(dtype=torch.float64)) for p in kind.values() if p.grad is not None)
            for kind in (self.pieces, self.kept_whole)
        ]
        return math.sqrt(processes.total(squares[0]) + squares[1])

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """See `Learner.weights`; all processes must walk in step. In the precision that the model computes in."""
        for name, tensor in full_weights(self.inner):
            yield name, gathered(tensor).to(self.dtype)

    def export(self, codec: Codec, path: Path) -> None:
        """Gather one tensor at a time; the main process alone keeps and writes them."""
        state = {name: tensor.cpu().clone() for name, tensor in self.weights() if processes.is_main()}
        if processes.is_main():
            save_checkpoint(self.inner, codec, path, state)
        processes.barrier()

    def save(
        self, step: int, updates: int, state: dict[str, Any] | None = None, tensors: Tensors | None = None
    ) -> None:
        """All processes write into one folder beside, the main one renames it; the last two checkpoints stay."""
        with replacing_together(self.folder / f"step_{step:06d}") as beside:
            save_file(self._state(self.pieces), beside / _piece_file())
            if processes.is_main():
                save_file(self._state(self.kept_whole), beside / "whole.safetensors")
                made = {"step": step, "updates": updates, "processes": processes.size(), "kept": state or {}}
                write_text(beside / "state.json", json.dumps(made))
                save_kept(beside, tensors)
        if processes.is_main():
            drop_old(self.folder)
        processes.barrier()

    def resume(self) -> tuple[int, int]:
        """See `Learner.resume`. Raises UserError when the checkpoint was made by another number of processes."""
        found = step_folders(self.folder)
        if not found:
            return 0, 0
        _, path = found[-1]
        state = intact(read_state, path / "state.json")
        if state.get("processes") != processes.size() or not (path / _piece_file()).is_file():
            raise UserError(
                f"{path} was made by {state.get('processes')} processes, this run has {processes.size()} with FSDP: "
                f"continue with the same launch settings or choose a new --out"
            )
        self._load(self.pieces, intact(load_file, path / _piece_file()))
        self._load(self.kept_whole, intact(load_file, path / "whole.safetensors"))
        return int(state["step"]), int(state["updates"])

    def _state(self, parameters: dict[str, torch.nn.Parameter]) -> Tensors:
        """This process's part of `parameters` and of their moments."""
        tensors: Tensors = {}
        for name, parameter in parameters.items():
            for key, value in {"value": parameter, **self.adamw.state.get(parameter, {})}.items():
                tensors[f"{name}.{key}"] = local(value).detach().cpu().contiguous().clone()
        return tensors

    @torch.no_grad()
    def _load(self, parameters: dict[str, torch.nn.Parameter], tensors: Tensors) -> None:
        for name, parameter in parameters.items():
            local(parameter).copy_(tensors[f"{name}.value"])
            if f"{name}.step" not in tensors:
                continue
            moments = {key: torch.zeros_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
            for key, moment in moments.items():
                local(moment).copy_(tensors[f"{name}.{key}"])
            self.adamw.state[parameter] = {"step": tensors[f"{name}.step"], **moments}


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a spread tensor, sharing its memory; any other tensor itself."""
    part: torch.Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return part


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """All of a spread tensor, gathered by all processes; any other tensor itself."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full


def _piece_file() -> str:
    return f"piece_{processes.rank():04d}.safetensors"
