"""Made-up clips: what flashes while a border is coloured? The embedded default of the video systems.

256 frames of 112 x 112 pixels at 8 a second: a dark ground on which two or three grey specks drift. Three times a
border lights up for 24 frames, each in a colour of its own, and within it a big white shape flashes for 4. Shrunk to
28 x 28 pixels, one visual token of Qwen2.5-VL, colour and shape can still be told.

With a grid of 16 frames every border is seen and a flash with a chance of 4/16; see `hit_probability` and `ceiling`.
Files are H.264, so that a system trained on them reads clips as it would read any.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

clips = load_module(Path(__file__).parent / "clips.py")
world = load_module(Path(__file__).parent / "scenes_world.py")
pictures = load_module(Path(__file__).parent / "scenes_draw.py")

NONE = "none"
QUESTIONS = {
    "what": "which shape while the border is {colour} ?",
    "count": "how many flashes while the border is {colour} ?",
    "direction": "where does the shape move while the border is {colour} ?",
    "order": "which border comes first , {first} or {second} ?",
    "when": "when is the border {colour} ?",
    "appear": "when does the shape appear while the border is {colour} ?",
    "grounded": "which shape and when while the border is {colour} ?",
}
"""By family. `grounded` has the shape as its answer and the cue as its window (`evidence`)."""


def hit_probability(grid: int, frames: int = 256, flash: int = 4) -> float:
    """Chance that a flash falls on one of `grid` frames at even distance."""
    return min(1.0, grid * flash / frames)


def ceiling(grid: int, frames: int = 256, flash: int = 4, prior: float = 0.0) -> float:
    """Best accuracy in the family `what` for who sees the grid alone and guesses the rest."""
    hit = hit_probability(grid, frames, flash)
    return hit + (1 - hit) * max(prior, 1 / len(world.SHAPES))


class Seen(NamedTuple):
    """What one frame shows, in words."""

    colour: str
    """Of the border, or "none"."""
    shape: str
    """The flashing one, or "none"."""
    place: tuple[float, float] = (0.0, 0.0)
    """Of the shape: right and down from the middle, -1 to 1; only a moving one leaves the middle."""


def describe(sample: Sample, index: int) -> Seen:
    """What frame `index` of the sample's clip shows, from its metadata alone."""
    for values in sample.metadata["events"]:
        event = world.Event(**values)
        if event.first <= index < event.first + event.length:
            place = event.place(index, sample.metadata["flash"])
            return Seen(event.colour, NONE) if place is None else Seen(event.colour, event.shape, place)
    return Seen(NONE, NONE)


def read(request: ReadRequest) -> Iterator[Sample]:
    """Reader of the generated set; `request.seed` and the split decide which clips.

    Options: clips, per_clip (questions on each, about different events), families (name -> share), choice (four options
    in place of words), and the fields of `World`. Clips are written to `request.root`/scenes, where media paths point;
    what is there and whole is used again. Raises UserError for sizes and shares that make no sense.
    """
    sizes = {field.name: field.default for field in dataclasses.fields(world.World)}
    options = take_options(request, clips=300, per_clip=1, families={"what": 1.0}, choice=False, **sizes)
    if request.root is None:
        raise UserError(f"source {request.name}: no folder to write clips into; give a run folder with --out")
    sized = world.World(**{name: options[name] for name in sizes})
    sized.check(request.name)
    families = _families(request.name, options["families"])
    if not 1 <= options["per_clip"] <= sized.events:
        raise UserError(f"source {request.name}: per_clip is {options['per_clip']}, a clip has {sized.events} events")
    if "order" in families and sized.events < 2:
        raise UserError(f"source {request.name}: the family order needs two events a clip, events is {sized.events}")
    seed = f"{request.split}{request.seed}"
    for number in range(options["clips"]):
        scene = world.make_scene(f"{seed}:{number}", sized, families)
        yield from _questions(request, scene, _written(request, scene, seed, number, families), number, options)


def _families(name: str, shares: dict[str, Any]) -> dict[str, float]:
    for family, share in shares.items():
        if family not in QUESTIONS:
            raise UserError(f"source {name}: unknown family {family!r}{nearest(family, QUESTIONS)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or share < 0:
            raise UserError(f"source {name}: family {family} has the share {share!r}, expected a number from 0 up")
    if not sum(shares.values()) > 0:
        raise UserError(f"source {name}: no family has a share above 0; write for example families: {{what: 1.0}}")
    return {family: float(share) for family, share in sorted(shares.items()) if share}


def _written(request: ReadRequest, scene: Any, seed: str, number: int, families: dict[str, float]) -> str:
    """The clip's path relative to the root; sets of other sizes or families lie in folders of their own."""
    kind = hashlib.sha256(f"{scene.world} {families}".encode()).hexdigest()[:8]
    relative = f"scenes/{seed}-{kind}/{number:05d}.mp4"
    assert request.root is not None
    if request.need_media:
        pictures.keep(scene, request.root / relative)
    return relative


def _questions(
    request: ReadRequest, scene: Any, relative: str, number: int, options: dict[str, Any]
) -> Iterator[Sample]:
    clip = request.attach(relative, "video")
    rng = random.Random(f"{scene.seed}:asked")
    for event in rng.sample(scene.events, options["per_clip"]):
        text, answer = _asked(scene, event, rng)
        name = f"{request.split}{request.seed}-{number:05d}"
        yield clips.asked(
            request,
            f"{name}-{event.colour}",
            text,
            _lettered(answer, event.family, rng) if options["choice"] else answer,
            clip,
            name,
            evidence={"windows": _evidence(scene, event, text)},
            **_facts(scene, event),
        )


def _asked(scene: Any, event: Any, rng: random.Random) -> tuple[str, Answer]:
    """The question of the event's family, and its answer."""
    pair = [event.colour, event.colour]
    if event.family == "order":
        other = rng.choice([one for one in scene.events if one is not event])
        pair = rng.sample([event.colour, other.colour], 2)
    text = QUESTIONS[event.family].format(colour=event.colour, first=pair[0], second=pair[1])
    if event.family == "count":
        return text, Answer(AnswerKind.NUMBER, str(len(event.flashes)))
    if event.family in ("when", "appear"):
        spans = [cue_window(scene, event)] if event.family == "when" else flash_windows(scene, event)
        return text, Answer(AnswerKind.INTERVAL, json.dumps(spans))
    earlier = next(one.colour for one in scene.events if one.colour in pair)
    return text, Answer(AnswerKind.SPAN, {"order": earlier, "direction": event.moves}.get(event.family, event.shape))


def _lettered(answer: Answer, family: str, rng: random.Random) -> Answer:
    """Four options, the gold among them; times stay times."""
    if answer.kind is AnswerKind.INTERVAL:
        return answer
    pool = {
        "count": ["1", "2", "3", "4"],
        "order": list(world.COLOURS),
        "direction": list(world.DIRECTIONS),
    }.get(family, list(world.SHAPES))
    texts = [answer.gold, *rng.sample([text for text in pool if text != answer.gold], 3)]
    rng.shuffle(texts)
    return clips.chosen(texts, answer.gold)


def cue_window(scene: Any, event: Any) -> list[float]:
    """Seconds of the first and the last frame that show the cue."""
    return _seconds(scene, event.first, event.length)


def flash_windows(scene: Any, event: Any) -> list[list[float]]:
    """Seconds of the first and the last frame of each flash."""
    return [_seconds(scene, start, scene.world.flash) for start in event.flashes]


def _seconds(scene: Any, first: int, length: int) -> list[float]:
    return [round(index / scene.world.fps, 3) for index in (first, first + length - 1)]


def _evidence(scene: Any, event: Any, text: str) -> list[list[float]]:
    """Cues that the question names."""
    words = text.split() if event.family == "order" else [event.colour]
    return [cue_window(scene, one) for one in scene.events if one.colour in words]


def _facts(scene: Any, event: Any) -> dict[str, Any]:
    """Metadata of a question about this event."""
    sized = scene.world
    return {
        "family": event.family,
        "colour": event.colour,
        "shape": event.shape,
        "glyph_windows": flash_windows(scene, event),
        "duration": sized.frames / sized.fps,
        "fps": sized.fps,
        "frames": sized.frames,
        "flash": sized.flash,
        "events": [{**dataclasses.asdict(one), "flashes": list(one.flashes)} for one in scene.events],
    }
