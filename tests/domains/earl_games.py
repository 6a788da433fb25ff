"""A clip, a model's processor and EARL's environment, in which a test says the turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from mmreason.config.recipe import TinyModel
from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Rollout, Sample, Source, Stop
from mmreason.rollout.environment import Reply, Setting

EARL = project_dir() / "domains" / "video" / "earl"
calls, environment, rewards, settings = (
    load_module(EARL / f"{name}.py") for name in ("calls", "environment", "rewards", "settings")
)
SIZES = TinyModel(
    family="qwen2_5_vl", hidden=64, layers=1, heads=2, kv_heads=1, ffn=32, vocab=320, init_std=0.2, vision_hidden=32
)
SOURCE = Source("own", "test", "Apache-2.0", "0")
LETTERS = {"A": "a circle", "B": "a square", "C": "a ring"}
GAME = {"grid": 16, "refined": 8, "caption": "{number} "}


def make_codec(folder: Path) -> Codec:
    """A tiny model, and 64 frames at 4 a second: 16 s, of which a grid of 16 shows one a second from 0.5 s on."""
    (folder / "clip").mkdir()
    for number in range(64):
        Image.new("RGB", (28, 28), (4 * number, 0, 128)).save(folder / "clip" / f"{number:03d}.png")
    build_tiny(SIZES, train_tokenizer(["what is it ?"], SIZES.vocab), 0, folder / "model")
    return Codec.load(folder / "model", folder)


def question(root: Path, grid: int = 16, gold: Sequence[float] | None = (2.5,), answer: Answer | None = None) -> Sample:
    """B of three letters; the only gold frame is the third of the grid, frame 10 of the clip."""
    ref = replace(media_ref(root, "clip", "video", fps=4.0), frame_rule=f"centres:{grid}", caption="{number} ")
    answer = answer or Answer(AnswerKind.CHOICE, "B", options=LETTERS)
    found = {} if gold is None else {"gold_times": list(gold)}
    return Sample("q7", SOURCE, (Message.about("what is it ?", (ref,)),), answer, media=(ref,), evidence=found)


def tool(codec: Codec, **options: Any) -> Any:
    """The environment under `options.earl`, over those of GAME."""
    return environment.frames(Setting({"earl": {**GAME, **options}}, codec, 5))


def said(*turns: str, stop: Stop = Stop.EOS, **extras: Any) -> Rollout:
    return Rollout((), (), (), "".join(turns), stop, extras={"said": list(turns), "turns": [], **extras})


def heard(game: Any, sample: Sample, turns: Sequence[str], stop: Stop = Stop.EOS) -> tuple[Rollout, list[Reply | None]]:
    """The rollout in which the model says `turns`, and the replies; the last turn is not answered where it was cut."""
    told: list[dict[str, Any]] = []
    replies: list[Reply | None] = []
    for number in range(len(turns)):
        if stop is Stop.LENGTH and number == len(turns) - 1:
            break
        reply = game.reply(sample, said(*turns[: number + 1], turns=list(told)), number)
        replies.append(reply)
        told.append({} if reply is None else reply.info)
        if reply is None or reply.done:
            turns = turns[: number + 1]
            break
    return said(*turns, stop=stop, turns=told), replies


def select(*numbers: Any) -> str:
    """A call that names these frames, counted from 1."""
    listed = ", ".join(str(number) for number in numbers)
    return f'<tool_call>{{"name": "select_frames", "arguments": {{"target_frames": [{listed}]}}}}</tool_call>'
