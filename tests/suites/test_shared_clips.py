"""Evaluation of several questions on one real clip: read once, through the tower once, prefilled once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance

from mmreason.config.recipe import Sampling, TinyModel
from mmreason.media.files import media_ref
from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.models.load import load_model
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module
from mmreason.protocol import Protocol
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.rollout.transformers_engine import TransformersEngine
from mmreason.suites.lm import MmreasonLM

pytest.importorskip("av", reason="clips are made and read with PyAV")

clips = load_module(Path(__file__).parents[1] / "media" / "clip_files.py")

SIZES = TinyModel(hidden=32, layers=2, heads=2, kv_heads=1, ffn=64, vocab=320, init_std=0.3, vision_hidden=32)
ASKED = ("what moves ?", "how many ?", "what comes first , and why ?", "where ?", "which colour ?")
GREEDY = Sampling(temperature=0.0, max_new_tokens=6)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    sizes = SIZES.model_copy(update={"family": request.param, "max_pixels": 3136})
    build_tiny(sizes, train_tokenizer([*ASKED, "Frame 1 (0.5 s): "], sizes.vocab), 0, folder / "model")
    for number in range(2):
        clips.encode_noise(folder / f"{number}.mp4", number)
    return folder


def about(ref: MediaRef, text: str) -> Instance:
    messages = (Message.about(text, (ref,)),)
    source = Source("own", "test", "Apache-2.0", "0")
    sample = Sample(f"{ref.path} {text}", source, messages, Answer(AnswerKind.NUMBER, "1"), media=(ref,))
    given = (text, {"until": []}, {"sample": sample, "protocol": Protocol(None, {"default": "{question}"})})
    return Instance("generate_until", {}, given, 0, ("t", 0, 1))


@pytest.mark.parametrize(
    ("rule", "caption", "passes"),
    [("uniform:6", "", 1), ("centres:6", "Frame {number} ({seconds:.1f} s): ", 6)],
    ids=["one video", "frame by frame"],
)
def test_questions_on_a_clip_share_its_prefill(
    root: Path, tmp_path: Path, rule: str, caption: str, passes: int
) -> None:
    """`passes`: what stands alone goes through the tower alone, each frame once."""
    refs = [media_ref(root, f"{number}.mp4", "video") for number in range(2)]
    refs = [replace(ref, frame_rule=rule, caption=caption) for ref in refs]
    model, answers = load_model(root / "model", "float64").eval(), []
    for shared in (True, False):
        codec = Codec.load(root / "model", root, MediaStore(tmp_path / "store"))
        engine = TransformersEngine(model, codec)
        lm = MmreasonLM(engine, codec, GREEDY, 64, share_prompts=shared)
        answers.append(lm.generate_until([about(ref, text) for ref in refs for text in ASKED]))
        assert lm.counts["questions"] == 2 * len(ASKED)
        assert lm.counts["prompts_forwarded"] == (2 if shared else 2 * len(ASKED))
        assert engine.vision_passes == 2 * passes
        assert codec.decodes == (2 if shared else 0)  # the second codec finds the frames in the store
        if shared:
            assert lm.counts["ids_forwarded"] < 0.6 * lm.counts["ids_given"]
    assert answers[0] == answers[1] and len(set(answers[0])) > 2
