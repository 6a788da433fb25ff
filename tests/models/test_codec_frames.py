"""Clips whose frames stand one by one: captions, places, tokens, sizes, and that each frame is decoded once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import IMAGE_PAD, VISION_END, VISION_START, train_tokenizer
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.records.io import read_samples, write_samples

SIZES = TinyModel(hidden=64, layers=2, heads=2, kv_heads=1, ffn=64, vocab=320, init_std=0.2, vision_hidden=32)
SOURCE = Source("own", "test", "Apache-2.0", "0")
CAPTION = "Frame {number} ({seconds:.1f} s): "


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 frames of 84 x 56 at 4 a second, one of a single frame, and a model of each family."""
    folder = tmp_path_factory.mktemp("frames")
    for name, count in (("frames", 20), ("one", 1)):
        (folder / name).mkdir()
        for number in range(count):
            picture = Image.effect_noise((84, 56), 60).convert("RGB")
            picture.paste((12 * number, 0, 0), (0, 0, 20, 20))
            picture.save(folder / name / f"{number:05d}.png")
    for family in ("qwen2_5_vl", "qwen3_vl"):
        sizes = SIZES.model_copy(update={"family": family})
        build_tiny(sizes, train_tokenizer(["What moves? Frame 1 (0.5 s): "], sizes.vocab), 0, folder / family)
    return folder


@pytest.fixture(params=("qwen2_5_vl", "qwen3_vl"))
def codec(root: Path, request: pytest.FixtureRequest) -> Codec:
    return Codec.load(root / request.param, root)


def clip(root: Path, rule: str = "at:2+7+9", caption: str = CAPTION, name: str = "frames", **settings: Any) -> MediaRef:
    return replace(media_ref(root, name, "video", fps=4.0), frame_rule=rule, caption=caption, **settings)


def sample(*media: MediaRef) -> Sample:
    return Sample("q7", SOURCE, (Message.about("What?", media),), Answer(AnswerKind.NUMBER, "1"), media=media)


def test_each_frame_stands_behind_its_caption(codec: Codec, root: Path) -> None:
    """84 x 56 pixels are 3 x 2 tokens; frames 2, 7 and 9 at 4 a second appear at 0.5, 1.75 and 2.25 seconds."""
    encoded = codec.encode(sample(clip(root)))
    seen = f"{VISION_START}{IMAGE_PAD * 6}{VISION_END}"
    text = codec.tokenizer.decode(encoded.ids)
    assert f"Frame 1 (0.5 s): {seen}Frame 2 (1.8 s): {seen}Frame 3 (2.2 s): {seen}What?" in text
    assert [(medium.kind, medium.grid) for medium in encoded.media] == [("image", (1, 4, 6))] * 3


def test_a_picture_may_stand_before_a_clip_in_frames_and_a_clip_as_one_behind(codec: Codec, root: Path) -> None:
    Image.new("RGB", (56, 56), "red").save(root / "red.png")
    media = (media_ref(root, "red.png"), clip(root, "at:3", "{number} "), clip(root, "uniform:4", ""))
    kinds = [medium.kind for medium in codec.encode(sample(*media)).media]
    assert kinds == ["image", "image", "video"]


def test_frames_are_those_of_the_clip_as_one(codec: Codec, root: Path) -> None:
    """A frame twice makes one step of the clip as one, so both ways must give the same patches."""
    (alone,) = codec.frames(clip(root), [7])
    assert torch.equal(alone.pixels, codec.picture(clip(root, "at:7", "")).pixels)


def test_tokens_are_the_sum_over_frames(codec: Codec, root: Path) -> None:
    ref = clip(root, "centres:5")
    assert codec.num_tokens(ref) == 30 == sum(medium.num_tokens(2) for medium in codec.encode(sample(ref)).media)
    assert codec.num_tokens(replace(ref, caption="")) == 18  # two frames a step, the last one doubled
    codec.encode(sample(replace(ref, tokens=30)))
    with pytest.raises(UserError, match=r"sample q7: frames was recorded with 18 visual tokens.* makes 30"):
        codec.encode(sample(replace(ref, tokens=18)))


def test_a_bound_over_all_frames_counts_each_in_full(codec: Codec, root: Path) -> None:
    """Five frames alone cost five steps, five frames of a clip three."""
    ref = clip(root, "centres:5", min_pixels=1, total_pixels=5 * 56 * 56)
    assert codec.num_tokens(ref) == 5 * 2
    assert codec.num_tokens(replace(ref, caption="")) == 3 * 6


def test_a_single_frame_is_one_picture(codec: Codec, root: Path) -> None:
    for rule in ("all", "fps:2", "uniform:8", "centres:8", "segments:4", "at:0"):
        assert len(codec.encode(sample(clip(root, rule, name="one"))).media) == 1
        assert codec.clip(clip(root, rule, name="one")).chosen.indices == (0,)


def test_a_frame_is_decoded_once_in_whatever_order_it_is_asked_for(codec: Codec, root: Path) -> None:
    ref = clip(root, "centres:5")
    assert codec.clip(ref).chosen.indices == (2, 6, 10, 14, 18) and codec.decodes == 0
    grid = codec.encode(sample(ref)).media
    again = codec.frames(ref, [18, 3, 2, 3])
    assert again[0].key == grid[4].key and again[2].key == grid[0].key and again[1] is again[3]
    assert codec.visual and (codec.decodes, codec.visual.decoded_frames) == (2, 6)
    codec.encode(sample(replace(ref, caption="{number}")))
    codec.frames(ref, range(20))
    assert (codec.decodes, codec.visual.decoded_frames) == (3, 20)


def test_another_run_finds_single_frames_in_the_store(root: Path, tmp_path: Path) -> None:
    """Also those that a clip as one decoded: the key is the frame's, not the rule's."""
    first, second = (Codec.load(root / "qwen2_5_vl", root, MediaStore(tmp_path)) for _ in range(2))
    first.encode(sample(clip(root, "uniform:4", "")))
    kept = second.frames(clip(root, "centres:5"), [0, 6, 19])
    assert second.decodes == 0
    assert [one.key for one in kept] == [one.key for one in first.frames(clip(root), [0, 6, 19])]


def test_frames_outside_the_clip_are_refused(codec: Codec, root: Path) -> None:
    with pytest.raises(UserError, match=r"frames' has frames 0 to 19, frame 20 was asked for"):
        codec.frames(clip(root), [3, 20])
    with pytest.raises(UserError, match=r"sample q7: clip 'frames': frame rule 'at:3\+20' names frame 20, .* 0 to 19"):
        codec.encode(sample(clip(root, "at:3+20")))


@pytest.mark.parametrize(
    "caption", ["{frame}: ", "{number", "{}", "{number.real}", "{number:>99999999}", "{seconds!r}", "{seconds:d}"]
)
def test_captions_that_cannot_be_filled_are_told(codec: Codec, root: Path, caption: str) -> None:
    with pytest.raises(UserError, match=r"sample q7: clip 'frames': caption .* write for example 'Frame \{number\}"):
        codec.encode(sample(clip(root, caption=caption)))


def test_pictures_take_no_caption(codec: Codec, root: Path) -> None:
    Image.new("RGB", (56, 56), "red").save(root / "red.png")
    with pytest.raises(UserError, match=r"is a picture; caption 'x' is for clips"):
        codec.encode(sample(replace(media_ref(root, "red.png"), caption="x")))


def test_captions_are_kept_with_samples(root: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "rows.parquet", [sample(clip(root))])
    assert read_samples(tmp_path / "rows.parquet") == [sample(clip(root))]
