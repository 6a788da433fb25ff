"""Which engine samples: transformers on the trained model itself, on a copy of it, vLLM here or on servers."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from transformers import PreTrainedModel

from mmreason.config import Recipe
from mmreason.errors import require
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.rollout.engine import TrainingEngine
from mmreason.rollout.forwards import FeatureSource
from mmreason.rollout.transformers_engine import TransformersEngine


class CopyEngine(TransformersEngine):
    """Samples from a whole copy of a model that is spread over processes (ZeRO-3)."""

    @torch.no_grad()
    def sync(self, weights: Callable[[], Iterable[tuple[str, torch.Tensor]]]) -> None:
        """Copy the weights in; a name that the copy does not have raises KeyError."""
        held = dict(self.model.named_parameters())
        for name, tensor in weights():
            held[name].copy_(tensor)
        self.syncs += 1


def make_engine(
    recipe: Recipe,
    start: str | Path,
    model: PreTrainedModel,
    codec: Codec,
    whole: bool = True,
    *,
    folder: Path | None = None,
    features: FeatureSource | None = None,
) -> TrainingEngine:
    """The engine that `grpo.engine` names, for RL of `model`, which began as the checkpoint `start`.

    `whole` tells that this process holds every weight of `model`. `folder` is where weights for servers are written,
    on a disk that they share (None: a folder of this machine that goes with the process). `features` gives the
    transformers engine what the trainer's tower has made of media already. Raises MissingExtra where vLLM is absent,
    UserError where a server is.
    """
    assert recipe.grpo is not None
    if recipe.grpo.engine == "vllm_server":
        from mmreason.rollout.vllm_server import VllmServerEngine

        return VllmServerEngine(recipe.grpo.server_urls, codec, folder or _passing_folder())
    if recipe.grpo.engine == "vllm":
        require("vllm", "vllm", "sample with grpo.engine=vllm")
        from mmreason.rollout.vllm_engine import VllmEngine

        longest = recipe.data.max_prompt_tokens + recipe.grpo.sampling.max_new_tokens
        return VllmEngine(start, codec, recipe.model.dtype, longest)
    if whole:
        return TransformersEngine(model, codec, features=features)
    return CopyEngine(load_model(start, recipe.model.dtype), codec)


def _passing_folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="mmreason-weights-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
