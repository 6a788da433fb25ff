"""Texts that end an answer: found in any tokenisation, never cut inside a token, the same in both engines' readers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedModel

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source, Stop
from mmreason.rollout import vllm_wire as wire
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.stops import Stops
from mmreason.rollout.transformers_engine import TransformersEngine

SIZES = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=64, vocab=330, init_std=0.3)
TAG = "</search>"
QUESTION = Sample(
    "q", Source("own", "train", "", "0"), (Message.of(Role.USER, "one and two ?"),), Answer(AnswerKind.NUMBER, "3")
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Codec]:
    """A vocabulary in which tokens hold the end of a tag and more."""
    path = tmp_path_factory.mktemp("tiny") / "model"
    texts = [f"one{TAG}\n<x> two", "ab>\nab>\nab>\n", f"\u00b5{TAG}"] * 4
    build_tiny(SIZES, train_tokenizer(texts, SIZES.vocab), 0, path)
    return load_model(path, "float64").eval(), Codec.load(path)


def encode(codec: Codec, text: str) -> list[int]:
    return list(codec.tokenizer.encode(text, add_special_tokens=False))


@given(st.text("ab</search> \n\u00b5", max_size=40), st.sampled_from([(TAG,), (TAG, "b>"), ("\u00b5",), ("a\n",)]))
def test_the_first_token_that_completes_one(
    pair: tuple[PreTrainedModel, Codec], text: str, stops: tuple[str, ...]
) -> None:
    """Against a scan that decodes every beginning whole; going id by id finds the same place."""
    codec = pair[1]
    ids, found = encode(codec, text), Stops(codec.tokenizer, stops)
    beginnings = [codec.tokenizer.decode(ids[:end]) for end in range(1, len(ids) + 1)]
    slow = next((end for end, part in enumerate(beginnings, 1) if any(stop in part for stop in stops)), None)
    assert found.length(ids) == slow
    steps = [end for end in range(1, len(ids) + 1) if found.reached(ids[:end])]
    assert (steps[0] if steps else None) == slow
    if slow is not None:
        assert found.candidates(len(codec.tokenizer))[ids[slow - 1]]


class Script:
    """Makes a model say these ids, whatever it is asked."""

    def __init__(self, model: PreTrainedModel, ids: list[int], first: int = 0) -> None:
        self.ids, self.at = ids, first
        self.handle = model.lm_head.register_forward_hook(self.say)

    def say(self, module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        wanted = self.ids[min(max(self.at, 0), len(self.ids) - 1)]
        self.at += 1
        return torch.full_like(logits, -50.0).index_fill(-1, torch.tensor([wanted]), 50.0)


def said(pair: tuple[PreTrainedModel, Codec], ids: list[int], limit: int = 40, **asked: Any) -> Any:
    model, codec = pair
    script = Script(model, ids)
    sampling = Sampling(temperature=0.0, max_new_tokens=limit, stop=(TAG,))
    try:
        request = Request(QUESTION, codec.encode(QUESTION))
        return TransformersEngine(model, codec).extend([request], sampling, asked=Asked(**asked))[0][0]
    finally:
        script.handle.remove()


def test_generation_ends_behind_the_tag(pair: tuple[PreTrainedModel, Codec]) -> None:
    codec = pair[1]
    before, after = encode(codec, f"one{TAG}"), encode(codec, "two")
    rollout = said(pair, [*before, *after])
    assert rollout.ids == tuple(before) and rollout.text == f"one{TAG}" and rollout.stop is Stop.CUT


def test_a_token_that_goes_on_behind_the_tag_stays_whole(pair: tuple[PreTrainedModel, Codec]) -> None:
    """What is trained is what was drawn, so the answer may hold the rest of one token behind the tag."""
    codec = pair[1]
    joint = codec.tokenizer.convert_tokens_to_ids(">\u010a")  # the line break as byte-level BPE spells it
    assert codec.decode([joint]) == ">\n", "the vocabulary has no such token"
    before = encode(codec, "one</search")
    rollout = said(pair, [*before, joint, *encode(codec, "two")])
    assert rollout.ids == (*before, joint)
    assert rollout.text == f"one{TAG}\n" and rollout.stop is Stop.CUT


def test_a_tag_that_the_limit_cuts_is_no_tag_and_one_that_just_fits_is(pair: tuple[PreTrainedModel, Codec]) -> None:
    ids = encode(pair[1], f"one{TAG}")
    assert said(pair, ids, limit=len(ids)).stop is Stop.CUT
    assert said(pair, ids, limit=len(ids) - 1).stop is Stop.LENGTH


def test_a_tag_that_was_begun_with_ends_nothing(pair: tuple[PreTrainedModel, Codec]) -> None:
    model, codec = pair
    script = Script(model, [*encode(codec, "two"), codec.eos_id], first=-1)  # the prompt, then what is begun
    request = Request(QUESTION, codec.encode(QUESTION), tuple(encode(codec, f"one{TAG}")))
    try:
        sampling = Sampling(temperature=0.0, max_new_tokens=9, stop=(TAG,))
        rollout = TransformersEngine(model, codec).extend([request], sampling)[0][0]
    finally:
        script.handle.remove()
    assert rollout.text == "two" and rollout.stop is Stop.EOS


def test_vllm_is_asked_for_whole_tags_and_cut_where_it_wrote_on(pair: tuple[PreTrainedModel, Codec]) -> None:
    codec = pair[1]
    sampling = Sampling(max_new_tokens=40, stop=(TAG,))
    fields = wire.sampling_fields(codec, sampling, 2, 0, 0, PLAIN)
    assert fields["stop"] == [TAG] and fields["include_stop_str_in_output"] and fields["detokenize"]
    assert "stop" not in wire.sampling_fields(codec, Sampling(), 2, 0, 0, PLAIN)
    before, after = encode(codec, f"one{TAG}"), encode(codec, "two")
    ids = [*before, *after]
    values = [-0.5] * len(ids)
    request = Request(QUESTION, codec.encode(QUESTION))
    rollout = wire.to_rollout(request, codec, ids, values, [[v] for v in values], sampling, Asked(entropies=True))
    assert rollout.ids == tuple(before) and rollout.stop is Stop.CUT
    assert len(rollout.logprobs) == len(rollout.entropies) == len(before)


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(ValueError, match="empty text"):
        Sampling(stop=("",))
