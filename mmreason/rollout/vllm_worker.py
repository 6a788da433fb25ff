"""What runs inside a vLLM worker: take new weights, from an iterator or from files, and refresh what was made of them.

`vllm serve ... --worker-extension-cls mmreason.rollout.vllm_worker.WeightsFromFolder` adds the method that
`rollout.vllm_server.VllmServerEngine` calls. This module imports no part of mmreason, so that a server needs no more
than the package's files on its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def refresh_heads(model: torch.nn.Module) -> None:
    """A head tied to the embedding is not reloaded itself; where it is kept packed (CPU) the packed copy is old."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


class WeightsFromFolder:
    """Mixed into vLLM's worker, whose `reload_weights` and `model_runner` it uses."""

    reload_weights: Any
    model_runner: Any

    def take_weights(self, folder: str) -> None:
        """Load the safetensors files of `folder` in place; each worker of a tensor-parallel server reads them all."""
        self.reload_weights(weights_iterator=_tensors(Path(folder)))
        refresh_heads(self.model_runner.get_model())


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"no weights in {folder}: is it on a disk that trainer and server share?")
    for file in files:
        with safe_open(file, framework="pt") as held:
            for name in held.keys():
                yield name, held.get_tensor(name)
