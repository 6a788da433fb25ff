"""Questions that begin alike, prefilled once, against each question by itself: same ids, fewer prompt ids forwarded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from lm_eval.api.instance import Instance
from PIL import Image

from mmreason.config.recipe import Sampling
from mmreason.models.codec import Encoded
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.protocol import Protocol
from mmreason.records import Part, Sample
from mmreason.rollout.common_prefix import LEAST, common_length, share
from mmreason.rollout.engine import Request
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.suites.lm import MmreasonLM

if TYPE_CHECKING:
    from conftest import Setup

GREEDY = Sampling(temperature=0.0, max_new_tokens=12)
ASKED = ["what is it ?", "how many ?", "is it red , or is it something else , and why ?", "where ?"]


def about(sample: Sample, text: str, name: str) -> Sample:
    """Another question about the sample's media (or after its text)."""
    last = sample.messages[-1]
    shown = [part for part in last.parts if part.type != "text"]
    words = text if shown else f"{last.text}\n" * 8 + text
    message = replace(last, parts=(*shown, Part("text", words)))
    return replace(sample, id=name, messages=(*sample.messages[:-1], message))


def questions(setup: Setup) -> list[Sample]:
    """Four questions about each of two things, and one that stands alone."""
    things = setup.samples[-2:]
    made = [about(thing, text, f"{n}-{k}") for n, thing in enumerate(things) for k, text in enumerate(ASKED)]
    return [*made, replace(setup.samples[0], id="alone")]


def instances(samples: list[Sample]) -> list[Instance]:
    protocol = Protocol(None, {"default": "{question}"})
    return [
        Instance("generate_until", {}, (s.question, {"until": []}, {"sample": s, "protocol": protocol}), 0, ("t", n, 1))
        for n, s in enumerate(samples)
    ]


def model_class(setup: Setup, shared: bool, batch: int = 64) -> MmreasonLM:
    return MmreasonLM(TransformersEngine(setup.model, setup.codec), setup.codec, GREEDY, batch, share_prompts=shared)


@pytest.mark.parametrize("batch", [3, 64])
def test_shared_prompts_give_the_answers_of_each_alone(setup: Setup, batch: int) -> None:
    samples = questions(setup)
    once, each = model_class(setup, True, batch), model_class(setup, False, batch)
    with setup.raised({setup.codec.eos_id: 2.0}):
        found, expected = once.generate_until(instances(samples)), each.generate_until(instances(samples))
    assert found == expected and len(set(found)) > 3
    assert once.counts["ids_given"] == each.counts["ids_given"] == each.counts["ids_forwarded"]
    if batch == 64:
        assert once.counts["prompts_forwarded"] == 3 and each.counts["prompts_forwarded"] == len(samples)
        assert once.counts["ids_forwarded"] < 0.8 * each.counts["ids_forwarded"]


def test_media_go_through_the_tower_once(setup: Setup) -> None:
    if not setup.samples[-1].media:
        pytest.skip("a text model")
    lm = model_class(setup, True)
    lm.generate_until(instances(questions(setup)))
    assert lm.engine.vision_passes == 3, "two things with one and three pictures, of which one is the same"


def test_a_common_beginning_never_cuts_a_medium(setup: Setup) -> None:
    samples = [sample for sample in setup.samples if sample.media]
    if not samples:
        pytest.skip("a text model")
    one, other = setup.codec.encode(samples[0]), setup.codec.encode(samples[1])
    ids, media = common_length(one, other, setup.codec)
    assert media == 0 and not set(one.ids[:ids]) & set(setup.codec.visual_ids), "pictures of one size, other content"
    same = common_length(one, setup.codec.encode(about(samples[0], "else ?", "x")), setup.codec)
    assert same[1] == 1 and set(one.ids[: same[0]]) & set(setup.codec.visual_ids)


def test_short_beginnings_and_begun_answers_stay_whole(setup: Setup) -> None:
    sample = setup.samples[0]
    texts = [Encoded([1, 2, 3, *range(10, 20)]), Encoded([1, 2, 4, *range(10, 20)])]
    short = [Request(sample, prompt) for prompt in texts]
    assert share(short, setup.codec) == short and LEAST > 2
    long = [Request(sample, Encoded([*range(10, 60), n])) for n in (1, 2, 3)]
    split = share(long, setup.codec)
    assert [len(r.prompt.ids) for r in split] == [50, 50, 50] and [r.begun for r in split] == [(1,), (2,), (3,)]
    begun = [replace(request, begun=(5,)) for request in long]
    assert share(begun, setup.codec) == begun


def test_log_likelihood_is_what_training_computes(setup: Setup) -> None:
    lm = model_class(setup, True)
    pairs = [("rent 4 2;", " wages"), ("yes or", " no ?"), ("", "rent")]
    asked = [Instance("loglikelihood", {}, pair, 0, ("t", n, 1)) for n, pair in enumerate(pairs)]
    found = lm.loglikelihood(asked)
    for (context, continuation), (value, greedy) in zip(pairs, found, strict=True):
        encode = setup.codec.tokenizer.encode
        prompt = encode(context, add_special_tokens=False) or [setup.codec.eos_id]
        rest = encode(context + continuation, add_special_tokens=False)[len(prompt) if context else 0 :]
        rows = make_rows([Encoded(prompt)], [rest], setup.codec.pad_id, torch.device("cpu"))
        with torch.no_grad():
            logp, _ = response_logprobs(setup.model, rows)
        assert value == pytest.approx(float(logp.sum()), abs=1e-5) and isinstance(greedy, bool)


def test_pictures_as_tasks_of_other_libraries_give_them(setup: Setup) -> None:
    if not setup.samples[-1].media:
        pytest.skip("a text model")
    picture = Image.new("RGB", (56, 56), "red")
    chat = [{"role": "user", "content": "<image>what is it ?"}]
    lm = model_class(setup, True)
    context = lm.apply_chat_template(chat)
    request = Instance("generate_until", {}, (context, {"max_gen_toks": 5}, {"visual": [picture]}), 0, ("t", 0, 1))
    (said,) = lm.generate_until([request])
    assert said.tokens <= 5 and said.stop in ("eos", "length")


def test_repeated_requests_are_one_prompt_with_several_answers(setup: Setup) -> None:
    warm = {"temperature": 1.0, "do_sample": True, "max_gen_toks": 8}
    sample = setup.samples[0]
    one = Instance("generate_until", {}, (sample.question, warm, {"sample": sample}), 0, ("t", 0, 3))
    lm = model_class(setup, True)
    answers = lm.generate_until([one] * 3)
    assert len(answers) == 3 and len(set(answers)) > 1 and lm.counts["questions"] == 1


def test_the_authors_prefill_goes_before_the_answer(setup: Setup) -> None:
    sample = setup.samples[0]
    protocol = Protocol(None, {"default": "{question}"}, prefill="rent 4", put_back="4", stop=("zz",))
    request = Instance(
        "generate_until",
        {},
        (sample.question, {"until": ["zz"]}, {"sample": sample, "protocol": protocol}),
        0,
        ("t", 0, 1),
    )
    lm = model_class(setup, True)
    (said,) = lm.generate_until([request])
    prompt = [*setup.codec.encode(sample).ids, *setup.codec.tokenizer.encode("rent 4", add_special_tokens=False)]
    plain = lm.engine.extend([Request(sample, Encoded(prompt, setup.codec.encode(sample).media))], GREEDY)[0][0]
    assert said == "4" + plain.text.split("zz")[0]
