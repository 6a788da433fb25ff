"""Tiny models in float64, where two ways to one number agree to rounding, and questions with and without pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import PreTrainedModel
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

from mmreason.config.recipe import TinyModel
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

TEXTS = [
    "rent 4 2; wages 1 3\nwhat is the change in rent ?",
    "yes or no ?",
    "fuel 9 8; rent 1 1; wages 2 5; is all higher this year ? count twice, then answer with one word",
]
SIZES = TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=320, init_std=0.3, vision_hidden=32)
PICTURES = {"square.png": (56, 56), "wide.png": (140, 56), "tall.png": (60, 112)}
SOURCE = Source("own", "train", "Apache-2.0", "0")


@dataclass(frozen=True)
class Setup:
    """A model in evaluation mode, its codec, and questions of unlike lengths."""

    model: PreTrainedModel
    codec: Codec
    samples: list[Sample]

    @contextmanager
    def raised(self, bonus: dict[int, float]) -> Iterator[None]:
        """Add to the logits of some ids inside the block."""
        ids, values = list(bonus), torch.tensor(list(bonus.values()), dtype=torch.float64)

        def add(module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
            return logits.index_add(-1, torch.tensor(ids), values.expand(*logits.shape[:-1], len(ids)))

        handle = self.model.lm_head.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()


def _samples(root: Path, vision: bool) -> list[Sample]:
    answer = Answer(AnswerKind.NUMBER, "1")
    plain = [Sample(f"t{n}", SOURCE, (Message.of(Role.USER, text),), answer) for n, text in enumerate(TEXTS)]
    if not vision:
        return plain
    refs = [media_ref(root, name) for name in PICTURES]
    shown = [refs[:1], refs[1:2], refs]
    seen = [
        Sample(f"p{n}", SOURCE, (Message.of(Role.USER, text, images=len(media)),), answer, media=tuple(media))
        for n, (text, media) in enumerate(zip(TEXTS, shown, strict=True))
    ]
    return [plain[0], *seen]


@pytest.fixture(scope="module", params=["qwen2", "qwen3", "qwen2_5_vl", "qwen3_vl"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    """Text-only Qwen2, and Qwen2.5-VL with pictures of three shapes, one row with all of them."""
    root = tmp_path_factory.mktemp("tiny")
    for index, (name, size) in enumerate(PICTURES.items()):
        noise = torch.randint(0, 256, (size[1], size[0], 3), generator=torch.Generator().manual_seed(index))
        Image.fromarray(noise.to(torch.uint8).numpy()).save(root / name)
    sizes = SIZES.model_copy(update={"family": request.param})
    build_tiny(sizes, train_tokenizer(TEXTS, sizes.vocab), 0, root / "model")
    model = load_model(root / "model", "float64").eval()
    assert model.config.model_type == request.param
    return Setup(model, Codec.load(root / "model", root), _samples(root, sizes.vision))


@pytest.fixture(autouse=True)
def tower_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers rotates the tower's queries in float32 whatever the model is in, which hides errors below 1e-9."""

    def rotate(
        q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = cos.unsqueeze(-2).to(q.dtype), sin.unsqueeze(-2).to(q.dtype)
        return q * cos + modeling_qwen2_5_vl.rotate_half(q) * sin, k * cos + modeling_qwen2_5_vl.rotate_half(k) * sin

    for module in (modeling_qwen2_5_vl, modeling_qwen3_vl):
        monkeypatch.setattr(module, "apply_rotary_pos_emb_vision", rotate)
