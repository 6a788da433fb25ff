"""The engine against transformers' own generation, and against the log-probabilities that training computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.models.codec import Encoded
from mmreason.models.families import family_of
from mmreason.models.medium import Medium
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.models.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from mmreason.records import Rollout, Stop
from mmreason.rollout.engine import Asked, Request
from mmreason.rollout.pieces import cut, join
from mmreason.rollout.transformers_engine import TransformersEngine

if TYPE_CHECKING:
    from conftest import Setup

GREEDY = Sampling(temperature=0.0, max_new_tokens=16)


def engine(setup: Setup, batch: int = 128) -> TransformersEngine:
    return TransformersEngine(setup.model, setup.codec, batch)


def theirs(setup: Setup, prompt: Encoded) -> tuple[int, ...]:
    """`model.generate`, one prompt, no padding."""
    ids = torch.tensor([prompt.ids])
    media: dict[str, Any] = {}
    if prompt.media:
        kinds = (ids == setup.model.config.image_token_id).int()
        grids = torch.tensor([medium.grid for medium in prompt.media])
        pixels = torch.cat([medium.pixels for medium in prompt.media])
        media = {"pixel_values": pixels, "image_grid_thw": grids, "mm_token_type_ids": kinds}
    out = setup.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=GREEDY.max_new_tokens,
        suppress_tokens=setup.codec.visual_ids,
        **media,
    )
    return tuple(out[0, len(prompt.ids) :].tolist())


@pytest.mark.parametrize("batch", [1, 2, 128])
def test_greedy_is_what_transformers_generates(setup: Setup, batch: int) -> None:
    with setup.raised({setup.codec.eos_id: 3.0}):
        found = [group[0] for group in engine(setup, batch).generate(setup.samples, GREEDY)]
        expected = [theirs(setup, setup.codec.encode(sample)) for sample in setup.samples]
    assert [answer.ids for answer in found] == expected
    assert len({len(answer.ids) for answer in found}) > 1  # rows left the batch while others went on
    for answer, sample in zip(found, setup.samples, strict=True):
        assert answer.prompt_ids == tuple(setup.codec.encode(sample).ids)
        assert answer.stop is (Stop.EOS if answer.ids[-1] == setup.codec.eos_id else Stop.LENGTH)


def trained(setup: Setup, answers: list[Rollout], temperature: float) -> list[torch.Tensor]:
    """What training computes for the same ids, all rows in one padded batch."""
    prompts = [setup.codec.encode(sample) for sample in setup.samples]
    rows = make_rows(prompts, [answer.ids for answer in answers], setup.codec.pad_id, setup.model.device)
    with torch.no_grad():
        logp, _ = response_logprobs(setup.model, rows, temperature, setup.codec.visual_ids)
    return [row[: len(answer.ids)] for row, answer in zip(logp, answers, strict=True)]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (0.7, 0.8)])
def test_engine_and_trainer_see_one_distribution(setup: Setup, temperature: float, top_p: float) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=12)
    with setup.raised({setup.codec.eos_id: 4.0}):
        groups = engine(setup).generate(setup.samples, sampling, n=4, seed=3)
        for member in range(4):
            answers = [group[member] for group in groups]
            for answer, logp in zip(answers, trained(setup, answers, temperature), strict=True):
                expected = torch.tensor(answer.logprobs, dtype=torch.float64)
                torch.testing.assert_close(logp, expected, rtol=0, atol=1e-10)
    assert len({len(answer.ids) for group in groups for answer in group}) > 1


def test_one_prefill_serves_the_whole_group(setup: Setup) -> None:
    shared, alone = engine(setup), engine(setup)
    with setup.raised({setup.codec.eos_id: 3.0}):
        groups = shared.generate(setup.samples, GREEDY, n=5)
        single = [alone.generate([sample], GREEDY)[0][0] for sample in setup.samples]
    assert shared.prefills == len(setup.samples)
    for group, expected in zip(groups, single, strict=True):
        assert len(group) == 5
        for answer in group:
            assert (answer.ids, answer.text, answer.stop) == (expected.ids, expected.text, expected.stop)
            assert answer.logprobs == pytest.approx(expected.logprobs, abs=1e-11)


def test_members_of_a_group_differ_and_the_seed_decides(setup: Setup) -> None:
    sampling = Sampling(max_new_tokens=8)
    one = engine(setup).generate(setup.samples, sampling, n=3, seed=1)
    assert one == engine(setup).generate(setup.samples, sampling, n=3, seed=1)
    assert one != engine(setup).generate(setup.samples, sampling, n=3, seed=2)
    assert all(len({answer.ids for answer in group}) == 3 for group in one)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_visual_tokens_are_never_sampled(setup: Setup, temperature: float) -> None:
    """Even where the model likes nothing better; and their mass is shared out in both distributions."""
    sampling = Sampling(temperature=temperature, max_new_tokens=10)
    assert len(setup.codec.visual_ids) == 2
    with setup.raised(dict.fromkeys(setup.codec.visual_ids, 50.0)):
        answers = [group[0] for group in engine(setup).generate(setup.samples, sampling)]
        again = trained(setup, answers, temperature or 1.0)
    assert not {token for answer in answers for token in answer.ids} & set(setup.codec.visual_ids)
    for answer, logp in zip(answers, again, strict=True):
        torch.testing.assert_close(logp, torch.tensor(answer.logprobs, dtype=torch.float64), rtol=0, atol=1e-10)


def test_the_training_mode_comes_back(setup: Setup) -> None:
    setup.model.train()
    engine(setup).generate(setup.samples[:1], GREEDY)
    assert setup.model.training
    setup.model.eval()


def fresh(setup: Setup) -> list[Request]:
    return [Request(sample, setup.codec.encode(sample)) for sample in setup.samples]


def test_extending_nothing_is_generating(setup: Setup) -> None:
    sampling = Sampling(max_new_tokens=8)
    generated = engine(setup).generate(setup.samples, sampling, n=3, seed=1)
    assert engine(setup).extend(fresh(setup), sampling, n=3, seed=1) == generated


@pytest.mark.parametrize("batch", [2, 128])
def test_a_greedy_continuation_is_the_uninterrupted_answer(setup: Setup, batch: int) -> None:
    """From every third place of every answer at once: one prefill a prompt, whatever was begun after it."""
    with setup.raised({setup.codec.eos_id: 3.0}):
        wholes = [group[0] for group in engine(setup).generate(setup.samples, GREEDY)]
        places = [(index, at) for index, whole in enumerate(wholes) for at in range(0, len(whole.ids), 3)]
        requests = [
            Request(request.sample, request.prompt, wholes[index].ids[:at])
            for index, at in places
            for request in fresh(setup)[index : index + 1]
        ]
        made = engine(setup, batch)
        found = [group[0] for group in made.extend(requests, GREEDY)]
    assert len(places) > 2 * len(wholes)
    if batch == 128:
        assert made.prefills == len(wholes)
    for (index, at), more in zip(places, found, strict=True):
        whole = wholes[index]
        assert (more.prompt_ids, more.ids[: len(whole.ids) - at]) == (whole.prompt_ids, whole.ids[at:])
        assert more.logprobs[: len(whole.ids) - at] == pytest.approx(whole.logprobs[at:], abs=1e-11)
        if whole.stop is Stop.EOS:
            joined = join(cut(whole, at, setup.codec), more, setup.codec)
            assert (joined.ids, joined.text, joined.stop) == (whole.ids, whole.text, whole.stop)


def shown(setup: Setup) -> list[tuple[tuple[int, ...], tuple[Medium, ...]]]:
    """Begun answers with a picture and a clip inside, as a tool returns them; the clip in runs for Qwen3-VL."""
    merge, tokens = setup.codec.merge, setup.codec.tokenizer.get_vocab()
    generator = torch.Generator().manual_seed(3)
    media = [
        Medium(torch.randn(t * h * w, 1176, generator=generator, dtype=torch.float64), (t, h, w), kind, 0.5)
        for (t, h, w), kind in (((1, 4, 6), "image"), ((2, 4, 4), "video"))
    ]
    words = tuple(setup.codec.tokenizer.encode("rent 4", add_special_tokens=False))

    def run(pad: str, count: int) -> tuple[int, ...]:
        return tokens[VISION_START], *[tokens[pad]] * count, tokens[VISION_END]

    picture = run(IMAGE_PAD, media[0].num_tokens(merge))
    parts = 2 if setup.model.config.model_type == "qwen3_vl" else 1
    clip = (*run(VIDEO_PAD, media[1].num_tokens(merge) // parts), *words) * parts
    return [
        ((*words, *picture), (media[0],)),
        ((*words, *picture, *words, *clip), tuple(media)),
        (clip, (media[1],)),
        (words, ()),
    ]


@pytest.mark.parametrize("given", [False, True])
def test_media_in_what_is_begun_are_seen_as_the_trainer_sees_them(setup: Setup, given: bool) -> None:
    """Positions, features and masks of prompt, begun answer and continuation; with features given no tower runs."""
    if not setup.codec.images:
        pytest.skip("reads text only")
    family, sampling = family_of(setup.model), Sampling(max_new_tokens=6, temperature=0.8)
    requests = [Request(request.sample, request.prompt, *part) for request in fresh(setup)[:3] for part in shown(setup)]
    made = TransformersEngine(
        setup.model, setup.codec, features=(lambda media: family.features(setup.model, media)) if given else None
    )
    groups = made.extend(requests, sampling, n=2, seed=4, asked=Asked(entropies=True))
    assert (made.vision_passes > 0) is not given
    assert made.prefills == 3
    for request, group in zip(requests, groups, strict=True):
        media = (*request.prompt.media, *request.media)
        context = Encoded([*request.prompt.ids, *request.begun], media)
        rows = make_rows([context] * 2, [answer.ids for answer in group], setup.codec.pad_id, setup.model.device)
        with torch.no_grad():
            logp, entropy = response_logprobs(setup.model, rows, 0.8, setup.codec.visual_ids)
        for row, answer in enumerate(group):
            assert answer.logprobs == pytest.approx(logp[row, : len(answer.ids)].tolist(), abs=1e-10)
            assert answer.entropies == pytest.approx(entropy[row, : len(answer.ids)].tolist(), abs=1e-9)


def test_one_prompt_asked_for_twice_is_forwarded_once(setup: Setup) -> None:
    requests = fresh(setup) * 2
    made = engine(setup)
    groups = made.extend(requests, GREEDY)
    assert made.prefills == len(setup.samples)
    half = len(setup.samples)
    for one, same in zip(groups[:half], groups[half:], strict=True):
        assert one[0].ids == same[0].ids


def test_each_content_goes_through_the_tower_once_a_batch(setup: Setup) -> None:
    if not setup.codec.images:
        pytest.skip("reads text only")
    made = engine(setup)
    made.generate(setup.samples, GREEDY)  # the last row shows three pictures, two of which stand in other rows
    assert made.vision_passes == 3
