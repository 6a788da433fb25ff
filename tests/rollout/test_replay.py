"""A written trace is encoded as the rollout that saying it would make, and only what the model said is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.models.encode import Example
from mmreason.models.load import load_model
from mmreason.models.rows import example_rows
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, SegmentKind, Source, Stop
from mmreason.rollout.engine import Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.replay import replay, turns_of
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

SIZES = TinyModel(
    family="qwen2_5_vl", hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, vocab=300, init_std=0.3, vision_hidden=32
)
SAMPLE = Sample(
    "q", Source("own", "train", "", "0"), (Message.of(Role.USER, "one and two ?"),), Answer(AnswerKind.NUMBER, "3")
)
CALL = "<tool_call>{}</tool_call>"


@dataclass
class Shows:
    """Answers calls with a picture, and leaves other turns alone."""

    calls: int = 9

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        assert len(rollout.extras["said"]) == turn + 1 and len(rollout.extras["turns"]) == turn
        if not rollout.extras["said"][-1].endswith("</tool_call>"):
            return None
        shade = 40 * turn
        return Reply(
            (f"frame {turn} ", Image.new("RGB", (56, 56), (shade, shade, 90))), turn >= self.calls, {"n": turn}
        )


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(SIZES, train_tokenizer(["one and two ?", CALL, "frame"], SIZES.vocab), 0, path)
    return Codec.load(path)


def test_turns_end_with_a_call() -> None:
    assert turns_of(f"a{CALL}b{CALL}\n c") == [f"a{CALL}", f"b{CALL}", "\n c"]
    assert turns_of("c") == ["c"]
    assert turns_of(f"a{CALL}\n") == [f"a{CALL}"]


def test_a_replayed_rollout_is_the_sampled_one(codec: Codec, tmp_path: Path) -> None:
    """A model plays; its turns, replayed, give the same ids, pictures and segments."""
    model = load_model(codec.tokenizer.name_or_path, "float64").eval()
    calls = torch.tensor([*codec.tokenizer.encode(CALL, add_special_tokens=False), codec.eos_id])
    step = {"at": 0}

    def say(module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        """Calls once, then ends: a model that says what the test wants."""
        wanted = calls[step["at"]] if step["at"] < len(calls) else torch.tensor(codec.eos_id)
        step["at"] += 1
        return torch.full_like(logits, -50.0).index_fill(-1, wanted.reshape(1), 50.0)

    model.lm_head.register_forward_hook(say)
    prompt = codec.encode(SAMPLE)
    engine = TransformersEngine(model, codec)
    ((sampled,),) = play(engine, codec, [Request(SAMPLE, prompt)], Shows(), Sampling(max_new_tokens=300), 1, 0, 3)
    assert sampled.extras["said"] == [CALL, ""] and sampled.stop is Stop.EOS
    again = replay(codec, SAMPLE, prompt, Shows(), sampled.extras["said"], 3)
    assert again.ids == sampled.ids and again.segments == sampled.segments
    assert [medium.key for medium in again.media] == [medium.key for medium in sampled.media]
    assert again.extras["turns"] == sampled.extras["turns"] == [{"n": 0}, {}]


def test_only_what_the_model_said_is_in_the_mask(codec: Codec) -> None:
    prompt = codec.encode(SAMPLE)
    played = replay(codec, SAMPLE, prompt, Shows(), [CALL, f"one{CALL}", "two"], 3)
    example = Example(SAMPLE, prompt, list(played.ids), played.media, tuple(played.trained))
    rows = example_rows([example], codec.pad_id, torch.device("cpu"))
    said = [id_ for id_, trained in zip(played.ids, rows.mask[0].tolist(), strict=True) if trained]
    assert codec.decode(said) == f"{CALL}one{CALL}two"
    assert (
        len(said)
        == example.num_trained
        == sum(piece.end - piece.start for piece in played.segments if piece.kind is SegmentKind.MODEL)
    )
    assert len(rows.media) == 2
    assert rows.attention.all()  # what is not trained is still seen


@pytest.mark.parametrize("turns", [[CALL], [CALL, CALL, CALL, "two"]])
def test_a_trace_that_does_not_end_with_its_answer_is_refused(codec: Codec, turns: list[str]) -> None:
    with pytest.raises(UserError, match=r"sample q: the trace has . turns, the environment let it say"):
        replay(codec, SAMPLE, codec.encode(SAMPLE), Shows(), turns, 3)


def test_an_environment_that_ends_early_is_told(codec: Codec) -> None:
    with pytest.raises(UserError, match="let it say 1"):
        replay(codec, SAMPLE, codec.encode(SAMPLE), Shows(calls=0), [CALL, "two"], 3)
