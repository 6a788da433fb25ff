"""Checkpoints in, checkpoints out: the same code for a tiny model and for Qwen2.5-7B-Instruct."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

from mmreason.config.recipe import ModelSettings
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.weights import base_of
from mmreason.run.files import replacing_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def pick_device() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_model(path: str | Path, dtype: str = "float32") -> PreTrainedModel:
    """A causal or image-text-to-text model, on the device at hand, SDPA attention. No remote code."""
    try:
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(f"no transformers checkpoint at {path}: {str(error).splitlines()[0]}") from None
    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    model: Any = kind.from_pretrained(path, dtype=DTYPES[dtype], attn_implementation="sdpa")
    if dtype == "float64":
        widen_norms(model)
    return cast(PreTrainedModel, model.to(pick_device()))


def widen_norms(model: torch.nn.Module) -> None:
    """Compute RMS norms in float64 too: transformers casts them to float32, whatever the model's own precision.

    float64 is for proofs of equality, where such a cast would hide an error below 1e-7.
    """
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = functools.partial(_wide_norm, module)


def _wide_norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    scale: torch.Tensor = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    weighted: torch.Tensor = norm.weight * (hidden * scale)
    return weighted


def prepare_for_training(model: PreTrainedModel, settings: ModelSettings, seed: int = 0) -> PreTrainedModel:
    """Apply LoRA, freezing and gradient checkpointing as the settings say. `seed` draws the adapters."""
    frozen_tower = settings.freeze_vision and hasattr(model.model, "visual") and settings.path is not None
    if frozen_tower:  # one that was drawn at random here (no path) must learn
        model.model.visual.requires_grad_(False)
    if settings.lora is not None:
        from peft import LoraConfig, get_peft_model

        lora = settings.lora
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.targets,
            exclude_modules=r".*\bvisual\b.*" if frozen_tower else None,
        )
        torch.manual_seed(seed)
        model = cast(PreTrainedModel, get_peft_model(model, config))
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def save_checkpoint(
    model: PreTrainedModel, codec: Codec, path: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write transformers layout (safetensors), LoRA merged into the weights, beside and renamed.

    `weights` are the plain model's, for a `model` that does not hold them whole (ZeRO-3).
    """
    outer: Any = model
    plain = outer.merge_and_unload() if weights is None and hasattr(model, "merge_and_unload") else base_of(model)
    with replacing_folder(path) as beside:
        plain.save_pretrained(beside, state_dict=weights)
        codec.tokenizer.save_pretrained(beside)
        if codec.images is not None:
            codec.images.save_pretrained(beside)
