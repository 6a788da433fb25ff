"""Tiny models are checkpoints of the real architectures, drawn by a seed, and load as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

TEXT = TinyModel(hidden=32, layers=2, heads=4, kv_heads=2, ffn=48, vocab=300)
EYE = TEXT.model_copy(update={"family": "qwen2_5_vl", "vision_hidden": 32, "hidden": 64})


def built(path: Path, sizes: TinyModel, seed: int = 0) -> Path:
    build_tiny(sizes, train_tokenizer(["one and two"], sizes.vocab), seed, path)
    return path


NAMES = {"qwen2": "Qwen2For", "qwen3": "Qwen3For", "qwen2_5_vl": "Qwen2_5_VLFor", "qwen3_vl": "Qwen3VLFor"}


@pytest.mark.parametrize("kind", NAMES)
def test_it_is_the_real_architecture(kind: str, tmp_path: Path) -> None:
    sizes = (EYE if kind.endswith("vl") else TEXT).model_copy(update={"family": kind})
    path = built(tmp_path / "m", sizes)
    config = AutoConfig.from_pretrained(path)
    text = config.get_text_config()
    assert config.model_type == kind
    assert (text.hidden_size, text.num_hidden_layers, text.intermediate_size) == (sizes.hidden, 2, 48)
    assert (text.num_attention_heads, text.num_key_value_heads) == (4, 2)
    model, codec = load_model(path), Codec.load(path)
    assert type(model).__name__.startswith(NAMES[kind])
    assert text.vocab_size == len(codec.tokenizer)
    assert (codec.images is not None) is sizes.vision
    assert model.generation_config.eos_token_id == codec.eos_id


@pytest.mark.parametrize("sizes", [TEXT, EYE], ids=["text", "vision"])
def test_the_seed_draws_the_weights(sizes: TinyModel, tmp_path: Path) -> None:
    one, same, other = (
        load_file(built(tmp_path / name, sizes, seed) / "model.safetensors")
        for name, seed in (("one", 5), ("same", 5), ("other", 6))
    )
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_spread_is_what_was_asked_for(tmp_path: Path) -> None:
    weights = load_file(built(tmp_path / "m", TEXT.model_copy(update={"init_std": 0.3})) / "model.safetensors")
    assert weights["model.embed_tokens.weight"].std().item() == pytest.approx(0.3, rel=0.05)
    assert weights["model.layers.0.mlp.up_proj.weight"].std().item() == pytest.approx(0.3, rel=0.1)


def test_weights_are_tied_and_saved_once(tmp_path: Path) -> None:
    path = built(tmp_path / "m", TEXT)
    assert "lm_head.weight" not in load_file(path / "model.safetensors")
    model = load_model(path)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_dtype_is_the_recipes(dtype: str, tmp_path: Path) -> None:
    model = load_model(built(tmp_path / "m", TEXT), dtype)
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{dtype}"}


def test_no_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no transformers checkpoint at .*nowhere") as caught:
        load_model(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
