"""Samples to ids: pictures make the tokens they promised, or the sample is named; nothing is cut."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.encode import encode_all
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import IMAGE_PAD, train_tokenizer
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source

SIZES = TinyModel(hidden=64, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300, vision_hidden=32)
SOURCE = Source("own", "train", "Apache-2.0", "0")
# (width, height) -> visual tokens: sides to multiples of 28, at most 112 x 112 pixels in all, a token for 28 x 28
PICTURES = {"small.png": ((56, 56), 4), "wide.png": ((140, 56), 10), "large.png": ((400, 400), 16)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    for name, (size, _) in PICTURES.items():
        Image.new("RGB", size, "red").save(folder / name)
    for vision in (False, True):
        sizes = SIZES.model_copy(update={"family": "qwen2_5_vl" if vision else "qwen2"})
        build_tiny(sizes, train_tokenizer(["one and two"], sizes.vocab), 0, folder / ("eye" if vision else "text"))
    return folder


@pytest.fixture(scope="module")
def codec(root: Path) -> Codec:
    return Codec.load(root / "eye", root)


def sample(*media: MediaRef, text: str = "which?") -> Sample:
    message = Message.of(Role.USER, text, images=len(media))
    return Sample("q7", SOURCE, (message,), Answer(AnswerKind.NUMBER, "1"), media=media)


@pytest.mark.parametrize("name", PICTURES)
def test_tokens_of_a_picture(codec: Codec, root: Path, name: str) -> None:
    reference, (_, expected) = media_ref(root, name), PICTURES[name]
    assert codec.num_tokens(reference) == expected
    encoded = codec.encode(sample(replace(reference, tokens=expected)))
    assert encoded.ids.count(codec.tokenizer.convert_tokens_to_ids(IMAGE_PAD)) == expected
    (medium,) = encoded.media
    assert medium.pixels.shape[0] == math.prod(medium.grid) == 4 * expected  # 2 x 2 patches a token


def test_several_pictures_stand_where_their_parts_stand(codec: Codec, root: Path) -> None:
    encoded = codec.encode(sample(media_ref(root, "wide.png"), media_ref(root, "small.png")))
    pad = codec.tokenizer.convert_tokens_to_ids(IMAGE_PAD)
    runs = "".join("x" if token == pad else "." for token in encoded.ids).split(".")
    assert [len(run) for run in runs if run] == [10, 4]


def test_a_broken_promise_is_told_with_both_numbers(codec: Codec, root: Path) -> None:
    reference = replace(media_ref(root, "wide.png"), tokens=9)
    with pytest.raises(UserError, match=r"sample q7: wide.png was recorded with 9 visual tokens.* makes 10"):
        codec.encode(sample(reference))


def test_a_changed_picture_is_refused(codec: Codec, root: Path) -> None:
    Image.new("RGB", (56, 56), "red").save(root / "other.png")
    reference = media_ref(root, "other.png")
    codec.encode(sample(reference))
    Image.new("RGB", (56, 56), "blue").save(root / "other.png")
    with pytest.raises(UserError, match=r"'other.png' has changed since the samples were built"):
        codec.encode(sample(reference))


def test_a_text_model_refuses_pictures(root: Path) -> None:
    reader = Codec.load(root / "text", root)
    assert reader.images is None
    with pytest.raises(UserError, match=r"sample q7 has 1 pictures or clips, but the model reads text only"):
        reader.encode(sample(media_ref(root, "small.png")))


def test_an_image_tag_in_a_question_is_not_a_place_for_a_picture(codec: Codec, root: Path) -> None:
    with pytest.raises(UserError, match=r"sample q7: 1 pictures or clips, 2 places"):
        codec.encode(sample(media_ref(root, "small.png"), text=f"what is {IMAGE_PAD} ?"))


def test_a_response_ends_its_turn_and_comes_back(codec: Codec) -> None:
    text = "<think>1 + 2</think><answer>\\boxed{3}</answer>"
    ids = codec.encode_response(text)
    assert ids[-1] == codec.eos_id and ids.count(codec.eos_id) == 1
    assert codec.decode(ids) == text
    assert codec.opens_think is False


def test_what_is_too_long_leaves_whole_and_is_kept(codec: Codec, tmp_path: Path) -> None:
    lengths = {"short": 1, "long": 40, "chatty": 1}
    samples = [replace(sample(text="x " * count), id=name) for name, count in lengths.items()]
    samples = [s.with_response("y " * (60 if s.id == "chatty" else 2)) for s in samples]
    size = len(codec.encode(samples[0]).ids)
    kept = encode_all(samples, codec, size + 5, size + 20, tmp_path / "dropped.jsonl")
    assert [example.sample.id for example in kept] == ["short"]
    assert kept[0].prompt.ids == codec.encode(samples[0]).ids
    rows = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["reason"]) for row in rows] == [("long", "too_long"), ("chatty", "too_long")]
    assert rows[0]["prompt_tokens"] > rows[0]["max_prompt_tokens"] == size + 5
    assert rows[1]["prompt_tokens"] + rows[1]["response_tokens"] > rows[1]["max_tokens"] == size + 20


def test_a_limit_may_be_reached_but_not_passed(codec: Codec, tmp_path: Path) -> None:
    one = sample().with_response("y")
    prompt, total = len(codec.encode(one).ids), len(codec.encode(one).ids) + len(codec.encode_response("y"))
    assert len(encode_all([one], codec, prompt, total, tmp_path / "d.jsonl")) == 1
    for limits in ((prompt - 1, total), (prompt, total - 1)):
        with pytest.raises(UserError, match=r"none of 1 samples fits"):
            encode_all([one], codec, *limits, tmp_path / "d.jsonl")
