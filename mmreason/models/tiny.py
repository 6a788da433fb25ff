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
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.config.recipe import TinyModel
from mmreason.models import tokenizer as tok
from mmreason.run.files import replacing_folder

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
    values = {**_text_sizes(sizes, tokenizer), "rope_parameters": _rope(sizes)}
    if sizes.family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**values, head_dim=sizes.hidden // sizes.heads))
    return Qwen2ForCausalLM(Qwen2Config(**values))


def _rope(sizes: TinyModel) -> dict[str, Any]:
    """Rotary positions; those of vision models share a head's frequencies between time, height and width."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": sizes.rope_theta}
    if not sizes.vision:
        return rope
    half = sizes.hidden // sizes.heads // 2
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    return {**rope, "mrope_section": sections} | ({"mrope_interleaved": True} if sizes.family == "qwen3_vl" else {})


def _vision_model(sizes: TinyModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    ids: dict[str, Any] = {name: tokenizer.convert_tokens_to_ids(token) for name, token in _VISION_TOKENS.items()}
    text: dict[str, Any] = {**_text_sizes(sizes, tokenizer), "rope_parameters": _rope(sizes)}
    tower: dict[str, Any] = dict(
        depth=sizes.vision_layers,
        hidden_size=sizes.vision_hidden,
        intermediate_size=2 * sizes.vision_hidden,
        num_heads=4,
        patch_size=14,
        spatial_merge_size=2,
        temporal_patch_size=2,
        out_hidden_size=sizes.hidden,
    )
    if sizes.family == "qwen3_vl":
        text["head_dim"] = sizes.hidden // sizes.heads
        tower |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        three = Qwen3VLConfig(text_config=text, vision_config=tower, tie_word_embeddings=True, **ids)
        return Qwen3VLForConditionalGeneration(three)
    tower |= {"window_size": 112, "fullatt_block_indexes": list(range(sizes.vision_layers))}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=tower, tie_word_embeddings=True, **ids)
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
            Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=sizes.max_pixels).save_pretrained(beside)
