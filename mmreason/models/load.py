"""Checkpoints in, checkpoints out: the same code for a tiny model and for Qwen2.5-7B-Instruct."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel

from mmreason.config.recipe import ModelSettings
from mmreason.errors import UserError, require
from mmreason.models.codec import Codec
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
    model = kind.from_pretrained(path, dtype=DTYPES[dtype], attn_implementation="sdpa")
    return model.to(pick_device())


def prepare_for_training(model: PreTrainedModel, settings: ModelSettings) -> PreTrainedModel:
    """Apply LoRA, freezing and gradient checkpointing as the settings say."""
    if settings.freeze_vision and hasattr(model, "visual") and settings.path is not None:
        model.visual.requires_grad_(False)  # a tower that was drawn at random here must learn
    if settings.lora is not None:
        require("peft", "lora", "train LoRA adapters")
        from peft import LoraConfig, get_peft_model

        lora = settings.lora
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=lora.targets)
        model = get_peft_model(model, config)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def save_checkpoint(model: PreTrainedModel, codec: Codec, path: Path) -> None:
    """Write transformers layout (safetensors), LoRA merged into the weights, beside and renamed."""
    plain = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    with replacing_folder(path) as beside:
        plain.save_pretrained(beside)
        codec.tokenizer.save_pretrained(beside)
        if codec.images is not None:
            codec.images.save_pretrained(beside)
