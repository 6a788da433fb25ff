"""Procedurally drawn pictures of one shape, with a teacher that sees well and repeats itself carelessly.

A picture is 84 x 84 pixels: three rows and three columns of 28-pixel cells, one merged patch of Qwen2.5-VL each, with a
circle, square or triangle in the middle of one of them. The answer names colour, shape, row and column, and is right
when all four words are. Size and shades vary, so that no two pictures are the same file.

A tiny model learns to see such pictures within a minute because nothing to be recognised crosses a patch and because
every trace names everything that is there. What RL has to mend is planted in the answers: the teacher's thought is
right, its answer swaps each word for another of its kind at a set rate.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError, nearest
from mmreason.media.files import media_ref
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

CELL = 28
"""Pixels a side of a cell: patch 14, merge 2."""
COLOURS = {
    "red": (215, 50, 50),
    "green": (50, 175, 65),
    "blue": (55, 85, 215),
    "yellow": (225, 205, 50),
    "purple": (155, 60, 185),
    "white": (225, 225, 225),
}
SHAPES = ("circle", "square", "triangle")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
WORDS = (tuple(COLOURS), SHAPES, ROWS, COLUMNS)
"""The kinds of word in the order of an answer: 6 x 3 x 3 x 3 = 162 answers."""
SIDES = (20, 22, 24, 26)
SHADES = 25
"""How far each channel of the shape's colour may lie from its mean."""
GROUND = 48
"""Brightest channel of the background."""
QUESTION = "what is drawn ?"

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, in the words of the answer, and how."""

    words: tuple[str, str, str, str]
    side: int
    """Pixels."""
    colour: Colour
    ground: Colour

    @property
    def answer(self) -> str:
        return " ".join(self.words)


def make_picture(seed: str) -> Picture:
    """The picture of a seed; all 162 answers are equally likely."""
    rng = random.Random(seed)
    colour, shape, row, column = (rng.choice(kind) for kind in WORDS)
    red, green, blue = (mean + rng.randint(-SHADES, SHADES) for mean in COLOURS[colour])
    ground = (rng.randrange(GROUND), rng.randrange(GROUND), rng.randrange(GROUND))
    return Picture((colour, shape, row, column), rng.choice(SIDES), (red, green, blue), ground)


def draw(picture: Picture) -> Image.Image:
    """RGB, 84 x 84."""
    image = Image.new("RGB", (3 * CELL, 3 * CELL), picture.ground)
    _, shape, row, column = picture.words
    margin = (CELL - picture.side) // 2
    left, top = COLUMNS.index(column) * CELL + margin, ROWS.index(row) * CELL + margin
    right, bottom = left + picture.side - 1, top + picture.side - 1
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse((left, top, right, bottom), fill=picture.colour)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=picture.colour)
    else:
        pen.polygon(((left, bottom), (right, bottom), ((left + right) // 2, top)), fill=picture.colour)
    return image


def _drawn(root: Path, seed: str, index: int, picture: Picture) -> str:
    """Path of the picture's file relative to `root`; written unless it already holds these bytes."""
    relative = f"shapes/{seed}/{index:05d}.png"
    path, buffer = root / relative, io.BytesIO()
    draw(picture).save(buffer, "PNG")
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())  # no fsync: a picture cut by a crash is drawn again
    return relative


def read(request: ReadRequest) -> Iterator[Sample]:
    """Reader of the generated set. Option: items (how many); `request.seed` decides which.

    The pictures are drawn into `request.root`/shapes, where the samples' media paths point.
    """
    options = take_options(request, items=1000)
    if request.root is None:
        raise UserError(f"source {request.name}: no folder to draw pictures into; give a run folder with --out")
    seed = f"{request.split}{request.seed}"
    for index in range(options["items"]):
        picture = make_picture(f"{seed}:{index}")
        row = f"{seed}-{index:05d}"
        yield Sample(
            id=f"{request.name}-{row}",
            source=Source("shapes", request.split, "Apache-2.0", row, document=f"shapes-{row}"),
            messages=(Message.of(Role.USER, QUESTION, images=1),),
            answer=Answer(AnswerKind.SPAN, picture.answer),
            media=(media_ref(request.root, _drawn(request.root, seed, index, picture)),),
            metadata=dict(zip(("colour", "shape", "row", "column"), picture.words, strict=True)),
        )


def careless(words: list[str], rate: float, rng: random.Random) -> list[str]:
    """Each word swapped at `rate` for another of its kind."""
    return [
        rng.choice([other for other in kind if other != word]) if rng.random() < rate else word
        for word, kind in zip(words, WORDS, strict=True)
    ]


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str]:
    """The teacher: (sample, attempt) -> a right thought and an answer with words swapped at the rate `slip_rate`."""
    if unknown := set(options) - {"slip_rate"}:
        raise UserError(f"teacher options: unknown {min(unknown)!r}{nearest(min(unknown), ['slip_rate'])}")
    rate = float(options.get("slip_rate", 0.0))

    def respond(sample: Sample, attempt: int) -> str:
        rng = random.Random(hashlib.sha256(f"{sample.id}:{attempt}".encode()).hexdigest())
        said = " ".join(careless(sample.answer.gold.split(), rate, rng))
        return f"<think>{sample.answer.gold}</think><answer>{said}</answer>"

    return respond
