"""Which engine a recipe gets, and the copy that samples for a model spread over processes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from mmreason.config import Recipe
from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import MissingExtra
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.models.weights import full_weights
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rollout.make import CopyEngine, make_engine
from mmreason.rollout.transformers_engine import TransformersEngine

TINY = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, vocab=300)
QUESTION = Sample(
    "q",
    Source("own", "train", "Apache-2.0", "0"),
    (Message.of(Role.USER, "One and two?"),),
    Answer(AnswerKind.NUMBER, "3"),
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    build_tiny(TINY, train_tokenizer(["one and two"], TINY.vocab), 0, tmp_path / "base")
    return tmp_path / "base"


def recipe(base: Path, engine: str = "transformers") -> Recipe:
    return Recipe.model_validate(
        {
            "system": "test",
            "model": {"path": str(base)},
            "data": {"pipelines": [], "embedded": []},
            "grpo": {"optim": {"lr": 0.1}, "steps": 1, "engine": engine},
            "eval": {"suites": []},
        }
    )


def test_the_live_model_samples_for_itself(base: Path) -> None:
    model = load_model(base)
    engine = make_engine(recipe(base), base, model, Codec.load(base))
    assert isinstance(engine, TransformersEngine) and engine.model is model
    engine.sync(lambda: full_weights(model))
    assert engine.syncs == 0  # nothing was copied


def test_a_copy_samples_for_a_spread_model_and_follows_it(base: Path) -> None:
    model, sampling = load_model(base).eval(), Sampling(temperature=0.0, max_new_tokens=6)
    engine = make_engine(recipe(base), base, model, Codec.load(base), whole=False)
    assert isinstance(engine, CopyEngine) and engine.model is not model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    live = TransformersEngine(model, engine.codec).generate([QUESTION], sampling)
    assert engine.generate([QUESTION], sampling)[0][0].logprobs != live[0][0].logprobs
    engine.sync(lambda: full_weights(model))
    assert engine.generate([QUESTION], sampling) == live
    assert engine.syncs == 1


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_an_absent_vllm_is_one_line(base: Path) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'mmreason\[vllm\]'"):
        make_engine(recipe(base, "vllm"), base, load_model(base), Codec.load(base))
