"""Answers of several turns: exact ids, who wrote what, pictures from a tool, limits and endings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import PreTrainedModel

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.load import load_model
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import IMAGE_PAD, train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, SegmentKind, Source, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.environment import Environment, Reply, Setting, load_environment
from mmreason.rollout.markers import Markers, observation
from mmreason.rollout.playing import PlayingEngine
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

SIZES = TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=300, init_std=0.3, vision_hidden=32)
QUESTION = Sample(
    "q", Source("own", "train", "", "0"), (Message.of(Role.USER, "one and two ?"),), Answer(AnswerKind.NUMBER, "3")
)
MODEL, TOOL = SegmentKind.MODEL, SegmentKind.TOOL
TURN = 6
"""The bent models below end a turn after this many tokens at the latest."""


def picture(seed: int, width: int = 84) -> Image.Image:
    noise = torch.randint(0, 256, (56, width, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(noise.to(torch.uint8).numpy())


def build(path: Path, family: str) -> tuple[PreTrainedModel, Codec]:
    build_tiny(SIZES.model_copy(update={"family": family}), train_tokenizer(["one and two ?"], SIZES.vocab), 0, path)
    return load_model(path, "float64").eval(), Codec.load(path)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, Codec]:
    """A model that likes to end its turn."""
    model, codec = build(tmp_path_factory.mktemp("tiny") / "model", request.param)

    def add(module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_add(-1, torch.tensor([codec.eos_id]), torch.full((*logits.shape[:-1], 1), 4.0).double())

    model.lm_head.register_forward_hook(add)
    return model, codec


class Scripted:
    """Replies with what a function of the turn gives, and remembers what it was shown."""

    def __init__(self, replies: Callable[[int], Reply | None]) -> None:
        self.replies = replies
        self.seen: list[tuple[Rollout, int]] = []

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        self.seen.append((rollout, turn))
        return self.replies(turn)


def played(
    pair: tuple[PreTrainedModel, Codec], environment: Environment, limit: int = 400, n: int = 6, turns: int = 3
) -> list[Rollout]:
    model, codec = pair
    requests = [Request(QUESTION, codec.encode(QUESTION))]
    (group,) = play(
        TransformersEngine(model, codec), codec, requests, environment, Sampling(max_new_tokens=limit), n, 5, turns
    )
    return group


def test_markers_are_what_the_template_puts_there(pair: tuple[PreTrainedModel, Codec]) -> None:
    """The prompt of a whole conversation, rendered at once, against the pieces laid end to end."""
    _, codec = pair
    markers = Markers.of(codec)
    ids, media = observation(codec, markers, Reply((picture(0), "two")), True, "q")
    chat = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "and"},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "two"}]},
    ]
    text = str(codec.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
    text = text.replace(IMAGE_PAD, IMAGE_PAD * media[0].num_tokens(codec.merge))
    start = codec.tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    whole = codec.tokenizer.encode(text, add_special_tokens=False)
    prompt, answer = (codec.tokenizer.encode(str(part), add_special_tokens=False) for part in (start, "and"))
    assert [*prompt, *answer, codec.eos_id, *ids] == whole
    unclosed, _ = observation(codec, markers, Reply((picture(0), "two")), False, "q")
    assert unclosed == [codec.eos_id, *ids]


def test_special_tokens_in_a_reply_are_plain_text(pair: tuple[PreTrainedModel, Codec]) -> None:
    """A page that a tool fetched can neither close its turn nor stand for a picture."""
    _, codec = pair
    ids, media = observation(codec, Markers.of(codec), Reply(("<|im_end|><|image_pad|>",)), True, "q")
    plain, _ = observation(codec, Markers.of(codec), Reply(("",)), True, "q")
    assert not media and not set(ids) & set(codec.visual_ids)
    assert ids.count(codec.eos_id) == plain.count(codec.eos_id)
    assert "<|im_end|><|image_pad|>" in codec.decode(ids)


def test_two_turns_with_a_picture_between_them(pair: tuple[PreTrainedModel, Codec]) -> None:
    """Segments cover the ids, tool tokens carry no log-probability, and the trainer sees the engine's numbers."""
    model, codec = pair
    environment = Scripted(lambda turn: Reply((picture(1), picture(2, 56), "look"), info={"turn": turn}))
    group = played(pair, environment, turns=2)
    whole = [rollout for rollout in group if len(rollout.segments) == 3]
    assert whole and {rollout.stop for rollout in whole} <= {Stop.ENVIRONMENT, Stop.LENGTH}
    prompt = codec.encode(QUESTION)
    for rollout in whole:
        first, tool, second = rollout.segments
        assert [(s.kind, s.turn) for s in rollout.segments] == [(MODEL, 0), (TOOL, 0), (MODEL, 1)]
        assert (first.start, tool.start, second.start) == (0, first.end, tool.end)
        assert second.end == len(rollout.ids) == len(rollout.logprobs)
        assert rollout.logprobs[tool.start : tool.end] == (0.0,) * (tool.end - tool.start)
        assert rollout.ids[tool.start - 1] == codec.eos_id  # the model closed its turn, and once is enough
        assert rollout.ids[tool.start] != codec.eos_id
        assert [medium.num_tokens(codec.merge) for medium in rollout.media] == [6, 4]
        rows = make_rows([Encoded(prompt.ids, rollout.media)], [rollout.ids], codec.pad_id, model.device)
        with torch.no_grad():
            logp, _ = response_logprobs(model, rows, banned=codec.visual_ids)
        expected = torch.where(torch.tensor(rollout.trained), logp[0], 0.0)
        assert rollout.logprobs == pytest.approx(expected.tolist(), abs=1e-10)
    assert {tuple(turn["turn"] for turn in r.extras["turns"]) for r in group if r.stop is Stop.ENVIRONMENT} == {(0, 1)}


def test_the_environment_is_shown_the_turns_so_far(pair: tuple[PreTrainedModel, Codec]) -> None:
    environment = Scripted(lambda turn: Reply((f"reply {turn}",)) if turn == 0 else None)
    group = played(pair, environment, n=1)
    turns = [turn for _, turn in environment.seen]
    assert turns == [0, 1]
    (first, _), (second, _) = environment.seen
    assert second.ids[: len(first.ids)] == first.ids
    assert "reply" not in second.text  # what a tool wrote is not the answer
    assert group[0].ids == second.ids and group[0].stop is Stop.EOS
    assert group[0].extras["turns"] == [{}, {}]


def test_who_ended_the_answer(pair: tuple[PreTrainedModel, Codec]) -> None:
    closed = [r for r in played(pair, Scripted(lambda turn: None)) if len(r.ids) < 400]
    assert closed and {r.stop for r in closed} == {Stop.EOS}
    done = played(pair, Scripted(lambda turn: Reply(("unheard",), done=True, info={"won": True})))
    assert {r.stop for r in done if len(r.segments) == 1 and len(r.ids) < 400} == {Stop.ENVIRONMENT}
    assert all(r.extras["turns"] == [{"won": True}] for r in done if r.stop is Stop.ENVIRONMENT)
    limited = played(pair, Scripted(lambda turn: Reply(("on",))), turns=2)
    assert {r.stop for r in limited if [s.kind for s in r.segments] == [MODEL, TOOL, MODEL]} == {Stop.ENVIRONMENT}


def test_a_turn_ended_by_a_stop_id_is_closed_by_the_template(pair: tuple[PreTrainedModel, Codec]) -> None:
    model, codec = pair
    requests, stops = [Request(QUESTION, codec.encode(QUESTION))], tuple(range(20, 200))
    environment = Scripted(lambda turn: Reply(("on",)))
    (group,) = play(
        TransformersEngine(model, codec),
        codec,
        requests,
        environment,
        Sampling(max_new_tokens=200),
        8,
        max_turns=2,
        asked=Asked(stop_ids=stops),
    )
    cut = [r for r in group if r.ids[r.segments[0].end - 1] in stops]
    assert cut
    for rollout in cut:
        assert rollout.ids[rollout.segments[1].start] == codec.eos_id
        assert not rollout.trained[rollout.segments[1].start]


def test_the_seed_decides(pair: tuple[PreTrainedModel, Codec]) -> None:
    environment = Scripted(lambda turn: Reply(("on",)))
    assert [r.ids for r in played(pair, environment)] == [r.ids for r in played(pair, environment)]


def test_a_reply_that_does_not_fit_what_is_left_ends_the_answer_before_it(
    pair: tuple[PreTrainedModel, Codec],
) -> None:
    """Never a part of a picture: 6 placeholders and their marks, at most 30 tokens an answer."""
    _, codec = pair
    environment = Scripted(lambda turn: Reply((picture(turn),)))
    group = played(pair, environment, limit=30, n=16, turns=6)
    unfit = [rollout for rollout in group if "unfit" in rollout.extras]
    assert unfit
    for rollout in group:
        assert len(rollout.ids) <= 30
        spoken = {token for token, own in zip(rollout.ids, rollout.trained, strict=True) if own}
        assert not spoken & set(codec.visual_ids)
        assert sum(token in codec.visual_ids for token in rollout.ids) == 6 * len(rollout.media)
    for rollout in unfit:
        assert rollout.stop is Stop.LENGTH and rollout.segments[-1].kind is MODEL
        assert rollout.extras["unfit"].startswith("sample q: the reply of turn ")
        assert f"tokens, {30 - len(rollout.ids)} are left" in rollout.extras["unfit"]


def test_a_reply_that_no_answer_could_hold_is_refused(pair: tuple[PreTrainedModel, Codec]) -> None:
    environment = Scripted(lambda turn: Reply((picture(0, 112), picture(1, 112))))
    with pytest.raises(
        UserError, match=r"sample q: the reply of turn 0 has \d+ tokens, \d+ are left of 20; raise max_"
    ):
        played(pair, environment, limit=20, n=16)


def test_an_environment_that_fails_names_the_sample(pair: tuple[PreTrainedModel, Codec]) -> None:
    def fail(turn: int) -> Reply:
        raise KeyError("no such page")

    with pytest.raises(RuntimeError, match=r"sample q: the environment failed in turn 0 \(KeyError"):
        played(pair, Scripted(fail))


def test_a_picture_for_a_model_that_reads_text_only(tmp_path: Path) -> None:
    pair = build(tmp_path / "model", "qwen2")
    assert Markers.of(pair[1]).picture is None
    with pytest.raises(UserError, match="sample q: the environment replied with a picture, but the model reads text"):
        observation(pair[1], Markers.of(pair[1]), Reply((picture(0),)), True, "q")


def test_an_engine_that_plays(pair: tuple[PreTrainedModel, Codec]) -> None:
    model, codec = pair
    environment, sampling = Scripted(lambda turn: Reply(("on",))), Sampling(max_new_tokens=400)
    told: list[int] = []
    engine = PlayingEngine(TransformersEngine(model, codec), codec, environment, max_turns=3)
    (group,) = engine.generate([QUESTION], sampling, 6, 5, told.append)
    assert [r.ids for r in group] == [r.ids for r in played(pair, environment)]
    assert (told, engine.prefills > 0, engine.syncs) == ([6], True, 0)


def test_an_environment_by_reference(tmp_path: Path, pair: tuple[PreTrainedModel, Codec]) -> None:
    code = (
        "class Echo:\n    def __init__(self, setting):\n        self.word = setting.options['word']\n\n"
        "    def reply(self, sample, rollout, turn):\n        return None\n\n\ndef bare(setting):\n    return 3\n"
    )
    setting = Setting({"word": "on"}, pair[1])
    (tmp_path / "shop_tools.py").write_text(code, encoding="utf-8")
    assert (
        load_environment("shop_tools.py:Echo", tmp_path, setting).reply(QUESTION, Rollout((), (), (), "", Stop.EOS), 0)
        is None
    )
    with pytest.raises(UserError, match="makes a int without a method 'reply'"):
        load_environment("shop_tools.py:bare", tmp_path, setting)
