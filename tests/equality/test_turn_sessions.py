"""Games whose keys and values are kept between turns, against games that forward everything again every turn."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from mmreason.config.recipe import Sampling
from mmreason.models.codec import Codec
from mmreason.records import Rollout, Sample, SegmentKind, Stop
from mmreason.rollout.engine import PLAIN, Asked, Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.shared_cache import ROOM
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play

if TYPE_CHECKING:
    from conftest import Setup

WARM = Sampling(temperature=0.9, max_new_tokens=150)
TURN = 8


class Afresh:
    """The engine without what it keeps."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self.codec = engine.codec

    def extend(
        self, requests: Sequence[Request], sampling: Sampling, n: int = 1, seed: int = 0, asked: Asked = PLAIN
    ) -> list[list[Rollout]]:
        return self.engine.extend(requests, sampling, n, seed, asked)


class Talk:
    """Replies that depend on what was said: nothing, words of two lengths, one picture or two, with words between."""

    def __init__(self, vision: bool) -> None:
        self.vision = vision
        self.seen: list[Any] = []

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        kind = sum(rollout.ids) % 5
        if kind == 0:
            return None
        if kind < 3 or not self.vision:
            return Reply(("count again , then answer " * kind + "?",))
        pictures = [shown(rollout.ids[0] % 3, wide) for wide in (56, 84)[: kind - 2]]
        return Reply(tuple(part for picture in pictures for part in ("see", picture)))


def shown(seed: int, width: int) -> Image.Image:
    noise = torch.randint(0, 256, (56, width, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(noise.to(torch.uint8).numpy())


def asks(setup: Setup) -> list[Request]:
    """Every prompt from its beginning, and one of them also with an answer begun."""
    requests = [Request(sample, setup.codec.encode(sample)) for sample in setup.samples]
    begun = tuple(setup.codec.tokenizer.encode("rent 4 2 ;", add_special_tokens=False))
    return [*requests, Request(setup.samples[-1], requests[-1].prompt, begun)]


def game(
    setup: Setup, engine: Any, n: int = 3, turns: int = 3, sampling: Sampling = WARM, environment: Any = None
) -> list[list[Rollout]]:
    talk = environment or Talk(bool(setup.codec.images))
    with setup.raised({setup.codec.eos_id: 5.0}):
        return play(engine, setup.codec, asks(setup), talk, sampling, n, 7, turns)


def made(setup: Setup, batch: int = 128, **more: Any) -> TransformersEngine:
    return TransformersEngine(setup.model, setup.codec, batch, **more)


def same(found: list[list[Rollout]], expected: list[list[Rollout]]) -> None:
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a.ids, a.segments, a.text, a.stop) == (b.ids, b.segments, b.text, b.stop)
            assert [medium.key for medium in a.media] == [medium.key for medium in b.media]
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-10)
            assert a.entropies == pytest.approx(b.entropies, abs=1e-9)


@pytest.mark.parametrize("batch", [4, 128])
def test_a_game_is_the_same_with_and_without_what_is_kept(setup: Setup, batch: int) -> None:
    kept, afresh = made(setup, batch), made(setup, batch)
    found, expected = game(setup, kept), game(setup, Afresh(afresh))
    same(found, expected)
    rollouts = [rollout for group in found for rollout in group]
    assert len({len(rollout.extras["said"]) for rollout in rollouts}) >= 3  # games end in different turns
    assert not setup.codec.images or any(len(rollout.media) > 1 for rollout in rollouts)
    assert kept.forwarded_tokens < 0.7 * afresh.forwarded_tokens


def test_each_id_is_forwarded_once_a_game(setup: Setup) -> None:
    """Prompts once a group, what was begun once a request, of each turn the last id and the reply."""
    engine = made(setup)
    rollouts = [rollout for group in game(setup, engine) for rollout in group]
    prompts = {request.prompt.ids.__str__(): len(request.prompt.ids) for request in asks(setup)}
    replies = [s.end - s.start + 1 for r in rollouts for s in r.segments if s.kind is SegmentKind.TOOL]
    assert engine.prefills == len(prompts) == len(setup.samples)
    assert engine.forwarded_tokens == sum(prompts.values()) + len(asks(setup)[-1].begun) + sum(replies)
    shared = made(setup)
    with shared.session(), shared.session():
        shared.extend(asks(setup), Sampling(max_new_tokens=2))
        shared.extend(asks(setup), Sampling(max_new_tokens=2))
    assert shared.prefills == len(setup.samples)


def test_pictures_go_through_the_tower_once_a_game(setup: Setup) -> None:
    if not setup.codec.images:
        pytest.skip("reads text only")
    engine = made(setup)
    rollouts = [rollout for group in game(setup, engine) for rollout in group]
    replied = {medium.key for rollout in rollouts for medium in rollout.media}
    prompts = {medium.key for request in asks(setup) for medium in request.prompt.media}
    assert replied and engine.vision_passes == len(replied | prompts)


def test_what_is_not_kept_is_forwarded_again(setup: Setup) -> None:
    """Room for nothing, and room for some: the same answers."""
    expected, whole = game(setup, Afresh(made(setup))), made(setup)
    game(setup, whole)
    for room in (0, 100_000):
        engine = made(setup, keep_bytes=room)
        same(game(setup, engine), expected)
        assert engine.forwarded_tokens > whole.forwarded_tokens


def test_nothing_is_held_after_the_game(setup: Setup) -> None:
    engine, seen = made(setup), []

    class Watching(Talk):
        def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
            if engine._kept is not None:
                seen.append((weakref.ref(engine._kept), engine._kept.num_bytes()))
            return super().reply(sample, rollout, turn)

    game(setup, engine, environment=Watching(False))
    assert seen and all(size > 0 and ref() is None for ref, size in seen)

    class Failing(Talk):
        def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
            raise KeyError("no such page")

    with pytest.raises(RuntimeError, match="the environment failed"):
        game(setup, engine, environment=Failing(False))
    assert engine._kept is None


def test_a_row_that_goes_elsewhere_is_not_taken_for_its_own(setup: Setup) -> None:
    """Ids that are no continuation of what is held, and a continuation from the middle of it."""
    (request,), n = asks(setup)[:1], 3
    with setup.raised({setup.codec.eos_id: -9.0}):
        engine, afresh = made(setup), made(setup)
        with engine.session():
            (first,) = engine.extend([request], Sampling(max_new_tokens=TURN), n, 1)
            other = [Request(request.sample, request.prompt, (9, *first[0].ids[1:]))]
            middle = [Request(request.sample, request.prompt, first[1].ids[:5])]
            found = engine.extend([*other, *middle], Sampling(max_new_tokens=8), 1, 2)
        expected = afresh.extend([*other, *middle], Sampling(max_new_tokens=8), 1, 2)
    same(found, expected)


@pytest.mark.parametrize("asked", [Asked(entropies=True), Asked(heat=lambda logp: logp.exp().amax(-1) + 0.5)])
def test_wishes_hold_in_every_turn(setup: Setup, asked: Asked) -> None:
    requests, talk = asks(setup), Talk(bool(setup.codec.images))
    with setup.raised({setup.codec.eos_id: 5.0}):
        found, expected = (
            play(engine, setup.codec, requests, talk, WARM, 2, 3, 3, asked)  # type: ignore[arg-type]
            for engine in (made(setup), Afresh(made(setup)))
        )
    same(found, expected)
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.extras.get("temperatures") == pytest.approx(b.extras.get("temperatures"))


def test_tails_far_longer_than_the_room_they_begin_with(setup: Setup) -> None:
    """Rows of very unlike length side by side: whole blocks of padding, and growth after it."""
    request, long = asks(setup)[0], tuple(range(20, 220)) * 4
    sampling = Sampling(temperature=1.0, max_new_tokens=ROOM + 8)
    begun = [Request(request.sample, request.prompt, ids) for ids in (long, (21, 22), ())]
    with setup.raised({setup.codec.eos_id: -9.0}):
        together = made(setup).extend(begun, sampling, 1, 4)
        context = setup.codec, setup.model
        for ask, (answer,) in zip(begun, together, strict=True):
            assert answer.stop is Stop.LENGTH
            assert answer.logprobs == pytest.approx(alone(*context, ask, answer, sampling.temperature), abs=1e-10)


def alone(codec: Codec, model: Any, ask: Request, answer: Rollout, temperature: float) -> list[float]:
    """Log-probabilities of an answer's ids in one plain forward."""
    ids = torch.tensor([[*ask.prompt.ids, *ask.begun, *answer.ids]])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, -len(answer.ids) - 1 : -1] / temperature
    logits[:, codec.visual_ids] = -torch.inf
    return logits.log_softmax(-1).gather(-1, ids[0, -len(answer.ids) :, None]).squeeze(-1).tolist()
