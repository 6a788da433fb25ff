"""A temperature of its own after the first turn: drawn at it, told token by token, divided by it in the update."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import PreTrainedModel

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.policy import Policy
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.update import forward, grow
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, SegmentKind, Source
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

SIZES = TinyModel(
    family="qwen2_5_vl", hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=300, init_std=0.3, vision_hidden=32
)
QUESTION = Sample(
    "q", Source("own", "train", "", "0"), (Message.of(Role.USER, "one and two ?"),), Answer(AnswerKind.NUMBER, "3")
)
TWO = Sampling(temperature=1.0, later_temperature=0.5, max_new_tokens=120)


class Again:
    """Shows a picture and asks for more."""

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply:
        noise = torch.randint(0, 256, (56, 56, 3), generator=torch.Generator().manual_seed(turn))
        return Reply((Image.fromarray(noise.to(torch.uint8).numpy()), "and ?"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Codec]:
    """A model that likes to end its turn."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(SIZES, train_tokenizer(["one and two ?"], SIZES.vocab), 0, path)
    model, codec = load_model(path, "float64").eval(), Codec.load(path)

    def add(module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_add(-1, torch.tensor([codec.eos_id]), torch.full((*logits.shape[:-1], 1), 4.0).double())

    model.lm_head.register_forward_hook(add)
    return model, codec


def played(pair: tuple[PreTrainedModel, Codec], sampling: Sampling = TWO, asked: Asked = PLAIN) -> list[Rollout]:
    model, codec = pair
    requests = [Request(QUESTION, codec.encode(QUESTION))]
    (group,) = play(TransformersEngine(model, codec), codec, requests, Again(), sampling, 4, 5, 2, asked)
    return [rollout for rollout in group if len(rollout.segments) == 3]


def batch_of(rollouts: list[Rollout]) -> Batch:
    ones = [1.0] * len(rollouts)
    media = [rollout.media for rollout in rollouts]
    return make_batch(rollouts, [QUESTION] * len(rollouts), [0] * len(rollouts), ones, ones, {}, media)


@pytest.mark.parametrize("path", ["packed", "cache", "naive"])
def test_ratios_on_policy_are_one(pair: tuple[PreTrainedModel, Codec], path: str) -> None:
    rollouts = played(pair)
    assert len(rollouts) >= 2
    batch, policy = batch_of(rollouts), Policy(*pair, path)  # type: ignore[arg-type]
    with torch.no_grad():
        logp = forward(policy, grow(policy, batch), batch, TWO.temperature, {})["logp"]
    ratio = torch.where(batch.mask, (logp - batch.logp_roll).exp(), 1.0)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-10)


def test_every_token_tells_its_temperature(pair: tuple[PreTrainedModel, Codec]) -> None:
    for rollout in played(pair):
        for piece in rollout.segments:
            told = set(rollout.extras["temperatures"][piece.start : piece.end])
            assert told == {0.5 if piece.kind is SegmentKind.MODEL and piece.turn else 0.0}  # 0: the usual one
    warm = batch_of(played(pair)).temperatures(0.8)
    assert isinstance(warm, torch.Tensor) and set(warm.unique().tolist()) == {0.5, 0.8}


def test_the_same_temperature_needs_no_telling(pair: tuple[PreTrainedModel, Codec]) -> None:
    plain = played(pair, TWO.model_copy(update={"later_temperature": None}))
    assert plain and all("temperatures" not in rollout.extras for rollout in plain)
    first = [rollout.ids[: rollout.segments[0].end] for rollout in plain]
    assert first == [rollout.ids[: rollout.segments[0].end] for rollout in played(pair)]
    assert [rollout.ids for rollout in plain] != [rollout.ids for rollout in played(pair)]


def test_heat_is_a_factor_on_it(pair: tuple[PreTrainedModel, Codec]) -> None:
    """What the engine notes stays: half of 1.0 in the first turn, half of 0.5 in the second."""
    heated = played(pair, asked=Asked(heat=lambda logp: logp.new_full(logp.shape[:1], 0.5)))
    for rollout in heated:
        told = [set(rollout.extras["temperatures"][piece.start : piece.end]) for piece in rollout.segments]
        assert told == [{0.5}, {0.0}, {0.25}]


def test_bounds() -> None:
    with pytest.raises(ValidationError, match="greedy answers are greedy in all turns"):
        Sampling(temperature=0.0, later_temperature=0.9)
    with pytest.raises(ValidationError, match="greater than 0"):
        Sampling(later_temperature=0.0)
