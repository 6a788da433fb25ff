"""Many pictures in one call of attention, against one call a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmreason.config.recipe import TinyModel
from mmreason.groups.attention import use_tree_attention
from mmreason.groups.tower_attention import NAME
from mmreason.models.codec import Codec
from mmreason.models.families import family_of
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer

SIZES = TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=300, vision_hidden=32)


def picture(seed: int, width: int, height: int) -> Image.Image:
    noise = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(noise.to(torch.uint8).numpy())


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("shapes", [[(56, 56)] * 3, [(56, 56), (112, 84), (56, 56), (140, 196)]])
def test_features_and_gradients_are_those_of_one_call_a_picture(
    family: str, shapes: list[tuple[int, int]], tmp_path: Path
) -> None:
    sizes = SIZES.model_copy(update={"family": family, "max_pixels": 200 * 200})
    build_tiny(sizes, train_tokenizer(["one"], sizes.vocab), 0, tmp_path / "model")
    codec = Codec.load(tmp_path / "model")
    media = [codec.patches(picture(seed, *shape)) for seed, shape in enumerate(shapes)]
    found = []
    for together in (False, True):
        model = load_model(tmp_path / "model", "float64")
        if together:
            use_tree_attention(model)
            assert model.model.visual.config._attn_implementation == NAME
        embeds = torch.cat([part.embeds for part in family_of(model).features(model, media)])
        embeds.square().sum().backward()
        found.append((embeds.detach(), [p.grad for p in model.model.visual.parameters() if p.grad is not None]))
    (one, own), (other, theirs) = found
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    assert own and len(own) == len(theirs)
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
