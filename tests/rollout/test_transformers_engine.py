"""What the engine records of an answer, and its order, limits and counters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.models.medium import Medium
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Source, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.transformers_engine import TransformersEngine

SIZES = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300, init_std=0.3)
SOURCE = Source("own", "train", "Apache-2.0", "0")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(SIZES, train_tokenizer(["one and two"], SIZES.vocab), 0, path)
    return path


@pytest.fixture
def engine(checkpoint: Path) -> TransformersEngine:
    return TransformersEngine.load(checkpoint)


@pytest.fixture
def keen(engine: TransformersEngine) -> Iterator[TransformersEngine]:
    """An engine whose model ends most answers early."""
    eos = engine.codec.eos_id

    def add(module: torch.nn.Module, given: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_add(-1, torch.tensor([eos]), torch.full((*logits.shape[:-1], 1), 4.0))

    handle = engine.model.lm_head.register_forward_hook(add)
    yield engine
    handle.remove()


def questions(count: int) -> list[Sample]:
    return [
        Sample(f"q{n}", SOURCE, (Message.of(Role.USER, "one " * (7 * n % 5 + 1)),), Answer(AnswerKind.NUMBER, "1"))
        for n in range(count)
    ]


def test_an_answer_is_recorded_as_generated(keen: TransformersEngine) -> None:
    answers = [answer for group in keen.generate(questions(4), Sampling(max_new_tokens=8), n=8) for answer in group]
    assert {answer.stop for answer in answers} == {Stop.EOS, Stop.LENGTH}
    for answer in answers:
        assert 1 <= len(answer.ids) == len(answer.logprobs) <= 8
        assert all(value <= 0.0 for value in answer.logprobs)
        assert answer.text == keen.codec.decode(list(answer.ids))
        ends = [place for place, token in enumerate(answer.ids) if token == keen.codec.eos_id]
        assert ends == ([len(answer.ids) - 1] if answer.stop is Stop.EOS else [])
        assert answer.stop is Stop.EOS or len(answer.ids) == 8


def test_an_end_on_the_last_token_is_an_end(keen: TransformersEngine) -> None:
    answers = [answer for group in keen.generate(questions(2), Sampling(max_new_tokens=1), n=32) for answer in group]
    assert {answer.stop for answer in answers} == {Stop.EOS, Stop.LENGTH}
    for answer in answers:
        assert (answer.stop is Stop.EOS) == (answer.ids == (keen.codec.eos_id,))
        assert answer.stop is Stop.LENGTH or answer.text == ""


def test_groups_come_back_in_the_order_of_the_samples(engine: TransformersEngine) -> None:
    """Prompts of like length are decoded together, so the order inside the engine is another."""
    given = questions(5)
    groups = engine.generate(given, Sampling(temperature=0.0, max_new_tokens=3), n=2)
    assert [group[0].prompt_ids for group in groups] == [tuple(engine.codec.encode(s).ids) for s in given]
    assert all(group[0].prompt_ids == group[1].prompt_ids for group in groups)
    assert all(group[0].ids == group[1].ids for group in groups)


@pytest.mark.parametrize(("batch", "expected"), [(128, [15]), (6, [6, 6, 3]), (1, [3, 3, 3, 3, 3])])
def test_progress_and_batch_size(checkpoint: Path, batch: int, expected: list[int]) -> None:
    """`batch` bounds the answers decoded at once; a group is never split."""
    made = TransformersEngine.load(checkpoint)
    made.batch = batch
    told: list[int] = []
    made.generate(questions(5), Sampling(max_new_tokens=2), n=3, on_done=told.append)
    assert told == expected
    assert made.prefills == 5


def test_no_questions(engine: TransformersEngine) -> None:
    assert engine.generate([], Sampling()) == []
    assert engine.prefills == 0


def test_a_live_model_needs_no_hand_over(engine: TransformersEngine) -> None:
    """After an update of the shared weights the next answers are the new model's."""
    sampling = Sampling(temperature=0.0, max_new_tokens=6)
    before = engine.generate(questions(3), sampling)
    with torch.no_grad():
        engine.model.model.embed_tokens.weight.mul_(-1.0)
    assert engine.generate(questions(3), sampling) != before
    assert engine.syncs == 0


def asked_of(engine: TransformersEngine, asked: Asked, temperature: float = 1.0, n: int = 16) -> list[Rollout]:
    requests = [Request(sample, engine.codec.encode(sample)) for sample in questions(2)]
    sampling = Sampling(temperature=temperature, max_new_tokens=8)
    return [answer for group in engine.extend(requests, sampling, n, asked=asked) for answer in group]


def test_a_piece_ends_with_a_stop_id(keen: TransformersEngine) -> None:
    """Ended by the end of turn it is EOS all the same."""
    stops = tuple(range(100, 200))
    answers = asked_of(keen, Asked(stop_ids=stops))
    assert {answer.stop for answer in answers} == {Stop.EOS, Stop.CUT, Stop.LENGTH}
    for answer in answers:
        assert not set(answer.ids[:-1]) & {*stops, keen.codec.eos_id}
        assert (answer.stop is Stop.CUT) == (answer.ids[-1] in stops)
        assert (answer.stop is Stop.EOS) == (answer.ids[-1] == keen.codec.eos_id)


@pytest.mark.parametrize("limit", [0, 3])
def test_the_asked_limit_goes_before_the_samplings(engine: TransformersEngine, limit: int) -> None:
    answers = asked_of(engine, Asked(max_new_tokens=limit))
    assert {len(answer.ids) for answer in answers if answer.stop is Stop.LENGTH} == {limit}


def test_heat_is_recorded_with_the_log_probabilities_it_led_to(engine: TransformersEngine) -> None:
    """Twice as hot everywhere is sampling at twice the temperature, told token by token."""
    hot = asked_of(engine, Asked(heat=lambda logp: torch.full(logp.shape[:1], 2.0), entropies=True), temperature=0.5)
    plain = asked_of(engine, Asked(entropies=True), temperature=1.0)
    assert [answer.ids for answer in hot] == [answer.ids for answer in plain]
    for one, other in zip(hot, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-6)
        assert one.entropies == pytest.approx(other.entropies, abs=1e-5)
        assert one.extras == {"temperatures": [1.0] * len(one.ids)}
        assert other.extras == {} and len(other.entropies) == len(other.ids)


def test_heat_of_a_greedy_draw_is_refused(engine: TransformersEngine) -> None:
    with pytest.raises(UserError, match="the sampling is greedy; set a temperature"):
        asked_of(engine, Asked(heat=lambda logp: torch.ones(len(logp))), temperature=0.0)


@pytest.mark.parametrize(("begun", "media", "told"), [((7, 7), 0, "2 visual"), ((), 1, "0 visual"), ((7,), 1, "1 vi")])
def test_placeholders_and_media_that_disagree_are_refused(
    engine: TransformersEngine, begun: tuple[int, ...], media: int, told: str
) -> None:
    """7 stands for the picture token; a picture here makes 4 of them."""
    (sample,) = questions(1)
    pad = engine.codec.visual_ids[0]
    shown = (Medium(torch.zeros(4, 8), (1, 2, 2)),) * media
    request = Request(sample, Encoded([1, 2]), tuple(pad if token == 7 else token for token in begun), shown)
    with pytest.raises(UserError, match=f"sample q0: {told}.* its {media} pictures and clips make {4 * media}"):
        engine.extend([request], Sampling())
