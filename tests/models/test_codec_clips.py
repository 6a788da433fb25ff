"""Clips in a prompt: places, times and tokens for Qwen2.5-VL and Qwen3-VL; each clip decoded once; nothing ignored."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.errors import UserError
from mmreason.media.files import media_ref
from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.models.families import family_of
from mmreason.models.load import load_model
from mmreason.models.rows import make_rows, response_logprobs
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, train_tokenizer
from mmreason.models.visual import Visual
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Part, Role, Sample, Source
from mmreason.rollout.transformers_engine import TransformersEngine

SIZES = TinyModel(hidden=64, layers=2, heads=2, kv_heads=1, ffn=64, vocab=320, init_std=0.2, vision_hidden=32)
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
SOURCE = Source("own", "test", "Apache-2.0", "0")
TEXTS = ["How many cars pass? <1.0 seconds> <12.5 seconds>", "what comes first"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 56 x 56, a folder of 20 frames of 84 x 56 at 3 a second, and a model of each family."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "frames").mkdir()
    for number in range(1, 21):
        picture = Image.effect_noise((84, 56), 60).convert("RGB")
        picture.paste((12 * number, 0, 0), (0, 0, 20, 20))
        picture.save(folder / "frames" / f"{number:05d}.png")
    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        Image.new("RGB", (56, 56), colour).save(folder / name)
    for family in FAMILIES:
        sizes = SIZES.model_copy(update={"family": family})
        build_tiny(sizes, train_tokenizer(TEXTS, sizes.vocab), 0, folder / family)
    return folder


@pytest.fixture(params=FAMILIES)
def codec(root: Path, request: pytest.FixtureRequest) -> Codec:
    return Codec.load(root / request.param, root)


def frames(root: Path, rule: str = "uniform:6", **settings: Any) -> MediaRef:
    return replace(media_ref(root, "frames", "video", fps=settings.pop("fps", 3.0)), frame_rule=rule, **settings)


def sample(media: tuple[MediaRef, ...], order: str | None = None) -> Sample:
    """`order`: digits are media, other characters text; all media first where it is None."""
    order = "".join(map(str, range(len(media)))) + "?" if order is None else order
    parts = [
        Part(media[int(letter)].kind, media=int(letter)) if letter.isdecimal() else Part("text", letter)
        for letter in order
    ]
    return Sample("q7", SOURCE, (Message(Role.USER, tuple(parts)),), Answer(AnswerKind.NUMBER, "1"), media=media)


def runs(codec: Codec, ids: list[int]) -> list[tuple[str, int]]:
    """Each run of placeholders with its length."""
    text = codec.tokenizer.decode(ids)
    found = re.finditer(f"(?:{re.escape(IMAGE_PAD)})+|(?:{re.escape(VIDEO_PAD)})+", text)
    kinds = {IMAGE_PAD: "image", VIDEO_PAD: "video"}
    return [(kinds[pad], len(run[0]) // len(pad)) for run in found for pad in kinds if run[0].startswith(pad)]


def test_a_clip_stands_in_one_run_or_in_one_for_each_step(codec: Codec, root: Path) -> None:
    """Six frames of 84 x 56: three steps of 3 x 2 tokens, 20 frames of which 6 make 0.9 a second."""
    encoded = codec.encode(sample((frames(root),)))
    (medium,) = encoded.media
    assert (medium.kind, medium.grid, medium.pixels.shape) == ("video", (3, 4, 6), (72, 1176))
    assert medium.seconds == pytest.approx(2 / 0.9)
    expected = [("video", 6)] * 3 if codec.stamped else [("video", 18)]
    assert runs(codec, encoded.ids) == expected


def test_times_are_written_as_transformers_writes_them(root: Path) -> None:
    """The text of its Qwen3VLProcessor, which replaces the placeholder alone, for the same frames and rate."""
    codec = Codec.load(root / "qwen3_vl", root)
    processor = Qwen3VLProcessor.__new__(Qwen3VLProcessor)  # its constructor wants torchvision
    processor.video_processor = SimpleNamespace(merge_size=2, temporal_patch_size=2)
    processor.vision_start_token, processor.vision_end_token = VISION_START, VISION_END
    processor.video_token = VIDEO_PAD
    for rule, indices in (("uniform:6", [0, 4, 8, 11, 15, 19]), ("segments:5", [1, 5, 9, 12, 16])):
        encoded = codec.encode(sample((frames(root, rule),)))
        grid = torch.tensor([encoded.media[0].grid])
        told = SimpleNamespace(fps=3.0, frames_indices=list(indices))
        theirs = processor.replace_video_token({"video_grid_thw": grid, "video_metadata": [told]}, 0)
        text = codec.tokenizer.decode(encoded.ids)
        assert VISION_START + theirs + VISION_END in text
        assert theirs.count(" seconds>") == 3


def test_pictures_and_clips_stand_in_order(codec: Codec, root: Path) -> None:
    media = (media_ref(root, "red.png"), frames(root, "uniform:2"), media_ref(root, "blue.png"), frames(root))
    encoded = codec.encode(sample(media, "0a1b32c0"))
    assert [medium.kind for medium in encoded.media] == ["image", "video", "video", "image", "image"]
    long = [("video", 6)] * 3 if codec.stamped else [("video", 18)]
    assert runs(codec, encoded.ids) == [("image", 4), ("video", 6), *long, ("image", 4), ("image", 4)]
    assert encoded.media[0].key == encoded.media[4].key != encoded.media[3].key


def test_the_same_frames_at_another_rate_have_other_times(root: Path) -> None:
    """Two frames a second against one in ten seconds, the library's trap: the time axis of positions must differ."""
    codec, model = Codec.load(root / "qwen2_5_vl", root), load_model(root / "qwen2_5_vl")
    model.config.vision_config.tokens_per_second = 2
    made = [codec.encode(sample((frames(root, "all", fps=fps),))) for fps in (2.0, 0.1)]
    assert made[0].ids == made[1].ids and torch.equal(made[0].media[0].pixels, made[1].media[0].pixels)
    assert made[0].media[0].key != made[1].media[0].key  # engines keep positions under it
    times = []
    for encoded in made:
        ids = torch.tensor([encoded.ids])
        axis = family_of(model).positions(model, ids, torch.ones_like(ids), encoded.media)[0, 0]
        steps = axis[ids[0] == codec.tokenizer.convert_tokens_to_ids(VIDEO_PAD)]
        times.append((steps - steps[0]).unique().tolist())
    assert times[0] == [2 * step for step in range(10)]  # a second a step, two positions a second
    assert times[1] == [40 * step for step in range(10)]


def test_tokens_are_known_without_decoding(codec: Codec, root: Path) -> None:
    rules = {"uniform:6": 18, "segments:5": 18, "all": 60, "fps:1,max=8": 18}
    refs = {rule: frames(root, rule) for rule in rules}
    assert {rule: codec.num_tokens(ref) for rule, ref in refs.items()} == rules
    assert codec.decodes == 0
    assert all(codec.picture(ref).num_tokens(2) == rules[rule] for rule, ref in refs.items())
    assert codec.decodes == 4


def test_a_broken_promise_is_told_with_both_numbers(codec: Codec, root: Path) -> None:
    codec.encode(sample((frames(root, tokens=18),)))
    with pytest.raises(UserError, match=r"sample q7: frames was recorded with 20 visual tokens.* makes 18"):
        codec.encode(sample((frames(root, tokens=20),)))


def test_questions_on_one_clip_decode_it_once(codec: Codec, root: Path) -> None:
    clip, picture = frames(root), media_ref(root, "red.png")
    for _ in range(3):
        codec.encode(sample((clip, picture)))
    assert codec.decodes == 2
    codec.encode(sample((replace(clip, start=1.0),)))
    codec.encode(sample((replace(clip, max_pixels=3136),)))
    assert codec.decodes == 4


def test_another_run_finds_the_frames_in_the_store(root: Path, tmp_path: Path) -> None:
    clip, store = frames(root, "all"), MediaStore(tmp_path)
    first = Codec.load(root / "qwen2_5_vl", root, store)
    second = Codec.load(root / "qwen2_5_vl", root, MediaStore(tmp_path))
    assert first.encode(sample((clip,))).media[0].key == second.encode(sample((clip,))).media[0].key
    second.encode(sample((frames(root, "uniform:4"),)))
    assert (first.decodes, second.decodes) == (1, 0)
    assert first.visual and first.visual.decoded_frames == store.counts.misses - 1 == 20  # and the clip's times


def test_what_is_kept_is_bounded(codec: Codec, root: Path) -> None:
    clips = [frames(root, rule) for rule in ("uniform:6", "uniform:4", "uniform:2")]
    size = codec.picture(clips[0]).pixels.nbytes
    assert codec.images is not None
    small = Visual(codec.images, root, kept_bytes=size * 5 // 3)  # the first two, or the last two
    for index in (0, 1, 0, 1, 2, 2, 1, 0):
        small.medium(clips[index])
    assert small.decodes == 4
    none = Visual(codec.images, root, kept_bytes=0)
    assert none.medium(clips[0]).key == none.medium(clips[0]).key
    assert none.decodes == 2


def test_a_changed_clip_is_refused_though_it_is_kept(codec: Codec, root: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for number in range(4):
        Image.new("RGB", (56, 56), (number, 0, 0)).save(tmp_path / "own" / f"{number}.png")
    codec = Codec.load(root / "qwen2_5_vl", tmp_path)
    ref = media_ref(tmp_path, "own", "video", fps=1.0)
    codec.encode(sample((ref,)))
    Image.new("RGB", (56, 56), "blue").save(tmp_path / "own" / "2.png")
    with pytest.raises(UserError, match=r"sample q7: media file 'own' has changed"):
        codec.encode(sample((ref,)))


def test_a_still_clip_has_the_pictures_patches(codec: Codec, root: Path, tmp_path: Path) -> None:
    """A picture is a clip of one frame twice, so transformers' picture processor checks scale, colour and order."""
    picture = Image.effect_noise((112, 84), 80).convert("RGB")
    picture.paste((250, 10, 60), (0, 0, 40, 30))
    (tmp_path / "still").mkdir()
    for name in ("still/1.png", "still/2.png", "alone.png"):
        picture.save(tmp_path / name)
    assert codec.images is not None
    visual = Visual(codec.images, tmp_path)
    clip = visual.medium(replace(media_ref(tmp_path, "still", "video", fps=1.0), frame_rule="all"))
    alone = visual.medium(media_ref(tmp_path, "alone.png"))
    assert clip.grid == alone.grid == (1, 6, 8)
    assert torch.allclose(clip.pixels, alone.pixels, atol=1e-6)


def test_bounds_of_a_reference_override_the_processors(codec: Codec, root: Path) -> None:
    """The processor's own bounds are 56 x 56 to 112 x 112."""
    picture = media_ref(root, "red.png")
    assert codec.num_tokens(picture) == 4
    assert codec.num_tokens(replace(picture, min_pixels=112 * 112)) == 16
    assert codec.num_tokens(replace(picture, min_pixels=224 * 224)) == 64  # beyond the processor's most
    assert codec.num_tokens(replace(picture, max_pixels=28 * 28)) == 1
    clip = frames(root, "uniform:4")
    assert codec.num_tokens(clip) == 12
    assert codec.num_tokens(replace(clip, max_pixels=28 * 28)) == 2
    assert codec.num_tokens(replace(clip, min_pixels=168 * 112)) == 48
    assert codec.num_tokens(replace(clip, total_pixels=2 * 56 * 56, min_pixels=1)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_rule": "fps:2"}, r"is a picture; frame_rule 'fps:2' is for clips"),
        ({"start": 0.5}, r"start 0.5 is for clips"),
        ({"fps": 3.0}, r"fps 3.0 is for clips"),
        ({"total_pixels": 9}, r"total_pixels 9 is for clips"),
        ({"min_pixels": 9000, "max_pixels": 4000}, r"'red.png': min_pixels 9000 exceeds max_pixels 4000"),
    ],
)
def test_settings_of_a_picture_are_never_ignored(
    codec: Codec, root: Path, settings: dict[str, Any], message: str
) -> None:
    ref = replace(media_ref(root, "red.png"), **settings)
    with pytest.raises(UserError, match="sample q7: .*" + message):
        codec.encode(sample((ref,)))
    with pytest.raises(UserError, match=message):
        codec.num_tokens(ref)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frame_rule": "unifrom:4"}, r"'frames': frame rule 'unifrom:4' is unknown"),
        ({"start": 30.0}, r"'frames': the window from 30 to 6.66667 seconds holds no frame"),
        ({"min_pixels": 9000, "max_pixels": 4000}, r"'frames': min_pixels 9000 exceeds max_pixels 4000"),
        ({"fps": 0.0}, r"needs fps"),
    ],
)
def test_settings_of_a_clip_are_told(codec: Codec, root: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match="sample q7: .*" + message):
        codec.encode(sample((replace(frames(root), **settings),)))


def test_parts_and_media_belong_together(codec: Codec, root: Path) -> None:
    clip, picture = frames(root), media_ref(root, "red.png")
    with pytest.raises(UserError, match=r"sample q7: no message shows its medium 1"):
        codec.encode(sample((clip, picture), "0?"))
    with pytest.raises(UserError, match=r"sample q7: a part shows medium 1, the sample has 1"):
        codec.encode(replace(sample((clip, clip)), media=(clip,)))
    swapped = replace(sample((clip,)), media=(picture,))
    with pytest.raises(UserError, match=r"sample q7: red.png is recorded as image, its part says video"):
        codec.encode(swapped)
    with pytest.raises(UserError, match=r"1 pictures or clips, 2 places"):
        codec.encode(sample((clip,), f"0{VIDEO_PAD}"))


def real(root: Path, name: str, **settings: Any) -> MediaRef:
    pytest.importorskip("av", reason="clips are read with PyAV")
    return replace(media_ref(root, name, "video"), **settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_answers_about_real_clips(root: Path, real_data: Path, family: str) -> None:
    """Sampling and the trainer's forward see the same clips; questions on one clip share its decoding and its pass."""
    rows = (real_data / "annotated_clips" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(rows[0])
    media = (
        real(real_data, f"annotated_clips/{first['video']}", frame_rule="uniform:4", start=0.0, end=5.5),
        real(real_data, "annotated_clips/videos/bbb_opening.webm", frame_rule="fps:0.2,max=6"),
        real(real_data, "annotated_clips/videos/worker.gif", frame_rule="segments:4"),
        real(real_data, "asl_signs/videos/brother.mkv", frame_rule="floor:4"),
    )
    engine = TransformersEngine.load(root / family, media_root=real_data)
    samples = [sample(media[:1], f"0{first['question']}"), sample(media[:1], "0again?"), sample(media, "0123?")]
    groups = engine.generate(samples, Sampling(max_new_tokens=5, temperature=1.0), n=2, seed=3)
    assert engine.codec.decodes == 4
    for asked, group in zip(samples, groups, strict=True):
        prompt = engine.codec.encode(asked)
        counts = [engine.codec.num_tokens(ref) for ref in asked.media]
        assert [medium.num_tokens(2) for medium in prompt.media] == counts
        made = make_rows([prompt] * 2, [answer.ids for answer in group], engine.codec.pad_id, engine.model.device)
        with torch.no_grad():
            logp, _ = response_logprobs(engine.model, made, 1.0, engine.codec.visual_ids)
        for row, answer in enumerate(group):
            assert answer.logprobs == pytest.approx(logp[row, : len(answer.ids)].tolist(), abs=1e-4)
    assert engine.codec.decodes == 4
