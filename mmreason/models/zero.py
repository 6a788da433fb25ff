"""A learner over DeepSpeed ZeRO stages 1 to 3, with the interface of `learner.Learner`.

DeepSpeed's own checkpoints are pickles, which nothing here loads; a step is kept as safetensors instead: the weights
whole, and each process's partition of the float32 master weights with its AdamW moments. A run therefore resumes
exactly, with the same number of processes and the same ZeRO settings as before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from mmreason.config.recipe import Optim
from mmreason.errors import UserError, require
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
from mmreason.models.learner import Learner, learning_rate
from mmreason.models.load import save_checkpoint
from mmreason.models.policy import Policy
from mmreason.models.weights import full_weights
from mmreason.run import processes
from mmreason.run.files import write_text


def read_config(file: Path, optim: Optim, dtype: torch.dtype) -> dict[str, Any]:
    """The launch file's settings with what the recipe decides: precision, clipping, one micro-batch at a time."""
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {
        **config,
        "train_micro_batch_size_per_gpu": 1,  # unused: the flow makes the micro-batches and says which is the last
        "gradient_accumulation_steps": 1,
        "gradient_clipping": optim.max_grad_norm,
        "bf16": {"enabled": dtype == torch.bfloat16},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
    }


class ZeroLearner(Learner):
    """`model` is DeepSpeed's engine, which is called as what it wraps; `module` is the transformers model."""

    def __init__(self, model: Policy | PreTrainedModel, optim: Optim, steps: int, folder: Path, file: Path) -> None:
        require("deepspeed", "deepspeed", "train with launch.deepspeed")
        import deepspeed

        super().__init__(model, optim, steps, folder)
        self.module = self.inner
        config = read_config(file, optim, self.inner.dtype)
        self.stage: int = config["zero_optimization"]["stage"]
        self.whole = self.stage < 3
        self.engine: Any = deepspeed.initialize(model=model, optimizer=self.adamw, config=config)[0]
        self.model = self.engine

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        """Add one micro-batch. ZeRO takes means over processes where the sum is wanted, hence the factor."""
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss * processes.size())

    def step(self, number: int) -> dict[str, float]:
        """See `Learner.step`; DeepSpeed clips and clears."""
        rate = learning_rate(self.optim, number, self.steps)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        self.engine.step()
        norm = float(self.engine.get_global_grad_norm())
        if not math.isfinite(norm) or not self.engine.was_step_applied():
            raise FloatingPointError(f"update {number}: gradient norm is {norm}; lower the rate or look at the batch")
        return {"grad_norm": norm, "lr": rate}

    def gathered(self, parameters: list[torch.nn.Parameter]) -> AbstractContextManager[Any]:
        """Whole parameters inside the block; under stages 1 and 2 they are never spread."""
        if self.whole:
            return nullcontext()
        import deepspeed

        context: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(parameters)
        return context

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """See `Learner.weights`; all processes must walk in step."""
        return full_weights(self.module, self.gathered)

    def export(self, codec: Codec, path: Path) -> None:
        """Gather one tensor at a time; the main process alone keeps and writes them."""
        state = {name: tensor.cpu().clone() for name, tensor in self.weights() if processes.is_main()}
        if processes.is_main():
            save_checkpoint(self.module, codec, path, state)
        processes.barrier()

    def save(
        self, step: int, updates: int, state: dict[str, Any] | None = None, tensors: Tensors | None = None
    ) -> None:
        """All processes write into one folder beside, the main one renames it; the last two checkpoints stay."""
        with replacing_together(self.folder / f"step_{step:06d}") as beside:
            save_file(self._partition(), beside / _partition_file())
            weights = self._whole_trainable()
            if processes.is_main():
                save_file(weights, beside / "weights.safetensors")
                made_by = {"processes": processes.size(), "zero_stage": self.stage, "kept": state or {}}
                write_text(beside / "state.json", json.dumps({"step": step, "updates": updates, **made_by}))
                save_kept(beside, tensors)
        if processes.is_main():
            drop_old(self.folder)
        processes.barrier()

    def resume(self) -> tuple[int, int]:
        """See `Learner.resume`. Raises UserError when the checkpoint was made by other processes or another stage."""
        found = step_folders(self.folder)
        if not found:
            return 0, 0
        _, path = found[-1]
        state = intact(read_state, path / "state.json")
        made = (state.get("processes"), state.get("zero_stage"))
        if made != (processes.size(), self.stage):
            raise UserError(
                f"{path} was made by {made[0]} processes at ZeRO stage {made[1]}, this run has {processes.size()} at "
                f"stage {self.stage}: continue with the same launch settings or choose a new --out"
            )
        self._load_whole(intact(load_file, path / "weights.safetensors"))
        self._load_partition(intact(load_file, path / _partition_file()))
        return int(state["step"]), int(state["updates"])

    def _whole_trainable(self) -> dict[str, torch.Tensor]:
        """Trainable weights by name in the main process, nothing in the others."""
        whole: dict[str, torch.Tensor] = {}
        for name, parameter in zip(self.names, self.parameters, strict=True):
            with self.gathered([parameter]):
                if processes.is_main():
                    whole[name] = parameter.detach().cpu().clone()
        return whole

    @torch.no_grad()
    def _load_whole(self, weights: dict[str, torch.Tensor]) -> None:
        for name, parameter in zip(self.names, self.parameters, strict=True):
            if self.whole:
                parameter.copy_(weights[name])
                continue
            import deepspeed

            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
                parameter.copy_(weights[name])

    def _masters(self) -> list[torch.Tensor]:
        """This process's flat partitions of the float32 master weights, which the AdamW state belongs to."""
        zero = self.engine.optimizer
        flat: list[torch.Tensor] = (
            zero.fp32_partitioned_groups_flat if self.stage == 3 else zero.single_partition_of_fp32_groups
        )
        return flat

    def _partition(self) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = {}
        for index, master in enumerate(self._masters()):
            tensors[f"{index}.master"] = master.detach().cpu().clone()
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{index}.{key}"] = torch.as_tensor(value).cpu().clone()
        return tensors

    @torch.no_grad()
    def _load_partition(self, tensors: dict[str, torch.Tensor]) -> None:
        for index, master in enumerate(self._masters()):
            master.copy_(tensors[f"{index}.master"])
            held = {name.partition(".")[2]: t for name, t in tensors.items() if name.startswith(f"{index}.")}
            self.adamw.state[master] = {
                "step": held["step"],
                "exp_avg": held["exp_avg"].to(master.device),
                "exp_avg_sq": held["exp_avg_sq"].to(master.device),
            }


def _partition_file() -> str:
    return f"partition_{processes.rank():04d}.safetensors"
