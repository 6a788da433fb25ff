"""Weights as the plain transformers model names them, adapters merged, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel

Gather = Callable[[list[torch.nn.Parameter]], AbstractContextManager[Any]]
"""Makes parameters that are spread over processes whole inside the block (ZeRO-3)."""


def whole(parameters: list[torch.nn.Parameter]) -> AbstractContextManager[Any]:
    """The parameters are whole already."""
    return nullcontext()


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """The transformers model inside a peft model, or the model itself."""
    outer: Any = model
    base: PreTrainedModel = outer.get_base_model() if hasattr(model, "get_base_model") else model
    return base


@torch.no_grad()
def full_weights(model: PreTrainedModel, gather: Gather = whole) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of every weight; LoRA is added to a copy, so the model stays as it is and does not drift.

    Tied weights come once. Under ZeRO-3 all processes must walk in step; a tensor is valid until the next one.
    """
    base = base_of(model)
    for name, parameter in base.named_parameters():
        if ".lora_" in name:
            continue
        if name.endswith(".base_layer.weight"):
            name = name.replace(".base_layer.", ".")
            layer: Any = base.get_submodule(name.removesuffix(".weight"))
            with gather(list(layer.parameters())):
                merged = parameter + layer.get_delta_weight("default").to(parameter.dtype)
            yield name, merged
        else:
            with gather([parameter]):
                yield name.replace(".base_layer.", "."), parameter.detach()
