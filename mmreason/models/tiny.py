"""Tiny models of the real architectures, built from a config; every loading path then treats them as checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.config.recipe import TinyModel
from mmreason.models import tokenizer as tok
from mmreason.run.files import replacing_folder

TINY_MAX_PIXELS = 112 * 112
"""Pixel budget of the tiny tower: 16 visual tokens a square picture (patch 14, merge 2)."""
_CONTEXT = 8192


def _text_sizes(sizes: TinyModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return dict(
        vocab_size=len(tokenizer),
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        intermediate_size=sizes.ffn,
        max_position_embeddings=_CONTEXT,
        initializer_range=sizes.init_std,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _text_model(sizes: TinyModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    rope = {"rope_type": "default", "rope_theta": sizes.rope_theta}
    return Qwen2ForCausalLM(Qwen2Config(**_text_sizes(sizes, tokenizer), rope_parameters=rope))


def _vision_model(sizes: TinyModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    half = sizes.hidden // sizes.heads // 2
    sections = [half // 4, (half - half // 4) // 2, half - half // 4 - (half - half // 4) // 2]
    ids: dict[str, Any] = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _VISION_TOKENS.items()}
    config = Qwen2_5_VLConfig(
        text_config={
            **_text_sizes(sizes, tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": sizes.rope_theta, "mrope_section": sections},
        },
        vision_config=dict(
            depth=sizes.vision_layers,
            hidden_size=sizes.vision_hidden,
            intermediate_size=2 * sizes.vision_hidden,
            num_heads=4,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            window_size=112,
            out_hidden_size=sizes.hidden,
            fullatt_block_indexes=list(range(sizes.vision_layers)),
        ),
        tie_word_embeddings=True,
        **ids,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


_VISION_TOKENS = {
    "image_token_id": tok.IMAGE_PAD,
    "video_token_id": tok.VIDEO_PAD,
    "vision_start_token_id": tok.VISION_START,
    "vision_end_token_id": tok.VISION_END,
}


def build_tiny(sizes: TinyModel, tokenizer: PreTrainedTokenizerFast, seed: int, path: Path) -> None:
    """Draw weights with `seed` and write a checkpoint in transformers layout to `path`, atomically."""
    torch.manual_seed(seed)
    model = _vision_model(sizes, tokenizer) if sizes.vision else _text_model(sizes, tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    with replacing_folder(path) as beside:
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        if sizes.vision:
            Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=TINY_MAX_PIXELS).save_pretrained(beside)
