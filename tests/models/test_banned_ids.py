"""Visual ids have no probability in training, at every temperature, and no number breaks over it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmreason.config.recipe import TinyModel
from mmreason.models.codec import Codec, Encoded
from mmreason.models.load import load_model
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.01])
def test_entropy_stays_finite(temperature: float, tmp_path: Path) -> None:
    sizes = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, vocab=300)
    build_tiny(sizes, train_tokenizer(["one"], sizes.vocab), 0, tmp_path / "tiny")
    model, codec = load_model(tmp_path / "tiny").eval(), Codec.load(tmp_path / "tiny")
    rows = make_rows([Encoded([40, 41])], [[42, 43, 44]], codec.pad_id, model.device)
    logp, entropy = response_logprobs(model, rows, temperature, codec.visual_ids)
    assert torch.isfinite(logp).all()
    assert torch.isfinite(entropy).all()
    plain = torch.log_softmax(model(rows.ids).logits[:, 1:-1].index_fill(-1, torch.tensor(codec.visual_ids), -1e9)
                              / temperature, dim=-1)  # fmt: skip
    torch.testing.assert_close(logp, plain.gather(-1, rows.responses.unsqueeze(-1)).squeeze(-1), rtol=1e-4, atol=1e-4)
