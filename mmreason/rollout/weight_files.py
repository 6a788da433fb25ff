"""Weights on a disk that trainer and servers share: written beside, renamed, the ones before removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file

from mmreason.run import processes
from mmreason.run.files import replacing_folder

SHARD_BYTES = 2 << 30
"""Largest safetensors file; bounds what is held in memory beside the model."""


class WeightFolder:
    """Numbered folders of safetensors files under `folder`, the newest of which counts."""

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = folder.resolve()
        self.shard_bytes = shard_bytes
        self.newest: Path | None = None
        self._number = 0

    @torch.no_grad()
    def write(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> Path:
        """Write all weights; returns when they are whole. Every process calls it, the main one writes.

        A tensor of `weights` need be valid only until the next one is asked for (ZeRO-3).
        """
        self._number += 1
        path = self.folder / f"weights_{self._number:06d}"
        if processes.is_main():
            with replacing_folder(path) as beside:
                self._write(weights, beside)
        else:
            for _ in weights():  # gathering a spread tensor is a step that all processes take
                pass
        processes.barrier()
        self.newest = path
        return path

    def _write(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]], folder: Path) -> None:
        shard: dict[str, torch.Tensor] = {}
        files = size = 0
        for name, tensor in weights():
            if shard and size + tensor.nbytes > self.shard_bytes:
                save_file(shard, folder / f"model-{files:05d}.safetensors")
                shard, size, files = {}, 0, files + 1
            shard[name] = tensor.detach().to("cpu", copy=True).contiguous()
            size += tensor.nbytes
        save_file(shard, folder / f"model-{files:05d}.safetensors")

    def forget_older(self) -> None:
        """Remove every numbered folder but the newest, those of an earlier run too."""
        if processes.is_main():
            for path in self.folder.glob("weights_*"):
                if path != self.newest:
                    shutil.rmtree(path)
