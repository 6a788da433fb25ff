"""LoRA: adapters alone learn, the merged checkpoint is a plain model, and hand-over weights are the merged ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from mmreason.config.recipe import Lora, ModelSettings, Optim, TinyModel
from mmreason.models.codec import Codec
from mmreason.models.learner import Learner
from mmreason.models.load import load_model, prepare_for_training
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.models.weights import full_weights

TINY = TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=300)
IDS = torch.tensor([[11, 40, 41, 42, 43, 44]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "base"
    build_tiny(TINY, train_tokenizer(["one and two make three"], TINY.vocab), 0, path)
    return path


def adapted(checkpoint: Path, seed: int = 0) -> PreTrainedModel:
    settings = ModelSettings(path=str(checkpoint), lora=Lora(rank=4, alpha=8))
    return prepare_for_training(load_model(checkpoint), settings, seed)


@pytest.fixture
def trained(checkpoint: Path, tmp_path: Path) -> Learner:
    """Three updates on one row."""
    learner = Learner(adapted(checkpoint), Optim(lr=0.05), 3, tmp_path / "steps")
    for number in (1, 2, 3):
        learner.backward(learner.model(input_ids=IDS, labels=IDS).loss)
        learner.step(number)
    return learner


def test_only_the_adapters_learn(checkpoint: Path, trained: Learner) -> None:
    before = load_file(checkpoint / "model.safetensors")
    assert all(".lora_" in name for name in trained.names)
    for name, parameter in trained.model.get_base_model().named_parameters():
        if ".lora_" not in name:
            assert torch.equal(parameter, before[name.replace(".base_layer.", ".")]), name
    assert all(parameter.abs().max() > 0 for parameter in trained.parameters)  # B began as zeros


def test_the_merged_checkpoint_is_a_plain_model_with_the_same_logits(trained: Learner, tmp_path: Path) -> None:
    with torch.no_grad():
        before = trained.model.eval()(input_ids=IDS).logits
    handed = {name: tensor.clone() for name, tensor in trained.weights()}
    trained.export(Codec.load(trained.model.peft_config["default"].base_model_name_or_path), tmp_path / "final")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=IDS).logits, before, rtol=1e-4, atol=1e-4)
    saved = load_file(tmp_path / "final" / "model.safetensors")
    assert not [name for name in saved if "lora" in name or "base_layer" in name]
    assert handed.keys() == saved.keys()  # what an engine is handed is what is saved
    for name, tensor in handed.items():
        torch.testing.assert_close(tensor, saved[name])


def test_handing_over_leaves_the_model_as_it_is(trained: Learner) -> None:
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    assert len(list(full_weights(trained.model))) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.model.state_dict().items())


def test_adapters_resume(trained: Learner, checkpoint: Path, tmp_path: Path) -> None:
    trained.save(3, 3)
    again = Learner(adapted(checkpoint, seed=9), Optim(lr=0.05), 3, tmp_path / "steps")
    assert again.resume() == (3, 3)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters, trained.parameters, strict=True))


def test_the_seed_draws_the_adapters(checkpoint: Path) -> None:
    one, same, other = adapted(checkpoint, 1), adapted(checkpoint, 1), adapted(checkpoint, 2)
    drawn = [{n: p for n, p in m.named_parameters() if "lora_A" in n} for m in (one, same, other)]
    assert all(torch.equal(p, drawn[1][name]) for name, p in drawn[0].items())
    assert not all(torch.equal(p, drawn[2][name]) for name, p in drawn[0].items())


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_tower_gets_no_gradient_and_no_adapter(freeze: bool, tmp_path: Path) -> None:
    sizes = TINY.model_copy(update={"family": "qwen2_5_vl", "hidden": 64})
    build_tiny(sizes, train_tokenizer(["one"], sizes.vocab), 0, tmp_path / "eye")
    for lora in (None, Lora(rank=2, alpha=4)):
        settings = ModelSettings(path=str(tmp_path / "eye"), lora=lora, freeze_vision=freeze)
        model = prepare_for_training(load_model(tmp_path / "eye"), settings)
        learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        assert any("visual" in name for name in learning) is not freeze
        assert any("language_model" in name for name in learning)
