"""Learners for several processes, with the interface of `learner.Learner`.

`SyncedLearner` sums the gradients of all processes; `fsdp.FsdpLearner` spreads the model with FSDP2, `zero.ZeroLearner`
gives it to DeepSpeed. Every process takes its share of the batch and divides by the denominator of the whole batch, so
that the sum over processes is the gradient of one process with the whole batch, whatever the lengths of the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from mmreason.config.recipe import LaunchSettings, Optim
from mmreason.errors import UserError
from mmreason.groups.tree import Branch
from mmreason.models.checkpoint import Tensors
from mmreason.models.codec import Codec
from mmreason.models.encode import Example
from mmreason.models.families import plain
from mmreason.models.fsdp import FsdpLearner
from mmreason.models.learner import Learner
from mmreason.models.policy import Policy
from mmreason.models.zero import ZeroLearner
from mmreason.project import project_dir
from mmreason.run import processes


def launch_file(launch: LaunchSettings) -> Path | None:
    """The DeepSpeed JSON that the recipe names, None without DeepSpeed."""
    return project_dir() / "training" / "launch" / launch.deepspeed if launch.deepspeed is not None else None


def make_learner(
    model: Policy | PreTrainedModel, optim: Optim, steps: int, folder: Path, launch: LaunchSettings
) -> Learner:
    """ZeRO where the recipe names its JSON; else the plain learner for one process, FSDP2 or summed gradients."""
    file = launch_file(launch)
    if file is not None:
        return ZeroLearner(model, optim, steps, folder, file)
    if processes.size() == 1:
        return Learner(model, optim, steps, folder)
    kind = FsdpLearner if launch.fsdp else SyncedLearner
    return kind(model, optim, steps, folder)


def check_towers(examples: Sequence[Example], launch: LaunchSettings) -> None:
    """Refuse what would hang ZeRO: a process whose micro-batch has no picture skips the tower that others wait in.

    Raises UserError naming the first sample without a picture among samples that have them.
    """
    bare = [example for example in examples if not example.prompt.media]
    if launch.deepspeed is None or processes.size() == 1 or len(bare) in (0, len(examples)):
        return
    raise UserError(
        f"sample {bare[0].sample.id} has no picture and {len(examples) - len(bare)} others have: DeepSpeed ZeRO needs "
        f"the same layers in all processes; leave launch.deepspeed out or train on one kind of rows"
    )


def rounds(model: torch.nn.Module, parts: int) -> int:
    """How many micro-batches this process forwards, of which `parts` are its own and the others `idle`.

    The largest number of any process where `model` is spread, since its parts are then exchanged in each forward or
    backward, in which all processes must take part; else `parts`.
    """
    spread = isinstance(model, FSDPModule) or hasattr(model, "module")
    return int(processes.largest(parts)) if spread else parts


def idle(model: torch.nn.Module) -> torch.Tensor:
    """A loss of 0 from a tree of two tokens, to keep step with a process that has more micro-batches. Not counted.

    Raises UserError for a vision tower under DeepSpeed, which spreads it, so that pictures would be needed here.
    """
    policy = cast(Policy, getattr(model, "module", model))
    if not isinstance(model, FSDPModule) and hasattr(plain(policy.model).model, "visual"):
        raise UserError(
            "the processes have different numbers of micro-batches, impossible under DeepSpeed with a "
            "vision tower: raise grpo.micro_tokens until one is enough, or use launch.fsdp=true"
        )
    pad, counts = policy.codec.pad_id, {grad: Counter(count) for grad, count in policy.counts.items()}
    loss: torch.Tensor = model([policy.tree([Branch((pad,), (pad,))])])["logp"].sum() * 0.0
    policy.counts = counts
    return loss


class SyncedLearner(Learner):
    """AdamW in every process on the same summed gradient. Exchanges once an update, not once a micro-batch."""

    def __init__(self, model: Policy | PreTrainedModel, optim: Optim, steps: int, folder: Path) -> None:
        super().__init__(model, optim, steps, folder)
        for parameter in self.parameters:
            dist.broadcast(parameter.detach(), 0)

    def step(self, number: int) -> dict[str, float]:
        """Sum the gradients over the processes, then as one process does."""
        for parameter in self.parameters:
            if parameter.grad is None:  # for example a vision tower whose share had no picture
                parameter.grad = torch.zeros_like(parameter)
        pending = [dist.all_reduce(parameter.grad, async_op=True) for parameter in self.parameters]
        for work in pending:
            work.wait()
        return super().step(number)

    def save(
        self, step: int, updates: int, state: dict[str, Any] | None = None, tensors: Tensors | None = None
    ) -> None:
        """The main process writes; its state is everyone's."""
        if processes.is_main():
            super().save(step, updates, state, tensors)
        processes.barrier()

    def export(self, codec: Codec, path: Path) -> None:
        """The main process writes the finished model."""
        if processes.is_main():
            super().export(codec, path)
        processes.barrier()
