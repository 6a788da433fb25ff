"""What the steps that ask an endpoint share: who is asked, and frames as pictures that travel in a message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mmreason.config.parts import Endpoint
from mmreason.config.strict import validate
from mmreason.data.endpoint import Chat, picture_part, text_part
from mmreason.data.step import StepContext
from mmreason.errors import UserError
from mmreason.media.clips import Clip
from mmreason.media.resize import smart_resize
from mmreason.project import load_module
from mmreason.records import Sample

settings = load_module(Path(__file__).parent / "settings.py")

TEACHER, REVIEWER = "earl_teacher", "earl_reviewer"
"""Keys of the recipe's `options` under which endpoints stand; `data.teacher` is asked for chains of one turn."""
MAX_PIXELS = 256 * 28 * 28
"""Of a frame that is sent: what a model of 7B sees of it in the paper's common track."""


def endpoint_of(context: StepContext, key: str) -> Chat | None:
    """The endpoint under `options.<key>` of the recipe with its cache in the run; None where there is none."""
    declared = context.recipe.options.get(key)
    if declared is None:
        return None
    cache = context.work_dir / "cache" / f"{key}.sqlite"
    return Chat(validate(Endpoint, declared, f"options.{key}"), cache, role=key, offline=context.offline)


def need_endpoint(context: StepContext, step: str) -> Chat:
    """The teacher's endpoint. Raises UserError where the recipe names none."""
    chat = endpoint_of(context, TEACHER)
    if chat is None:
        raise UserError(f"{step}: no endpoint to ask; set options.{TEACHER}: {{base_url: ..., model: ...}}")
    return chat


def pictures(clip: Clip, frames: Sequence[int], max_pixels: int = MAX_PIXELS) -> list[Image.Image]:
    """Frames of a clip by index, made smaller where they exceed `max_pixels`."""
    return [shrunk(Image.fromarray(frame), max_pixels) for frame in clip.reader.read_frames(clip.path, frames, _copied)]


def _copied(frame: Any) -> Any:
    return frame.copy()  # readers may use their buffer again


def shrunk(picture: Image.Image, max_pixels: int) -> Image.Image:
    """The picture with sides that Qwen's models see, at most `max_pixels` large."""
    height, width = smart_resize(picture.height, picture.width, 28, 28 * 28, max_pixels)
    small = width * height < picture.width * picture.height
    return picture.resize((width, height), Image.Resampling.BICUBIC) if small else picture


def numbered(images: Sequence[Image.Image], seconds: Sequence[float], numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Content items: each picture behind its number and time."""
    parts = []
    for image, second, number in zip(images, seconds, numbers, strict=True):
        parts += [text_part(settings.CAPTION.format(number=number, seconds=second)), picture_part(image)]
    return parts


def asked(sample: Sample) -> str:
    """Question and options in words."""
    options = [f"{letter}. {text}" for letter, text in sample.answer.options.items()]
    return "\n".join([str(sample.metadata.get("question", sample.question)), *options])


def gold_text(sample: Sample) -> str:
    """The gold answer in words: of a choice its letter and text."""
    gold = sample.answer.gold
    return f"{gold}. {sample.answer.options[gold]}" if gold in sample.answer.options else gold
