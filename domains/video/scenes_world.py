"""What happens in a made-up clip, before anything is drawn: cues, flashes, drifting specks.

A cue is a coloured border; while it lasts, and never else, a big white shape flashes. Flashes are so short that a
coarse grid of frames sees every cue and few flashes: who wants to know the shape must look again where the border was.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mmreason.errors import UserError

COLOURS = {
    "red": (230, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 80, 240),
    "yellow": (240, 215, 40),
    "purple": (190, 60, 220),
    "cyan": (40, 215, 225),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring", "bar")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MOST_FLASHES = 3
REACH = 3 / 28
"""How far from the middle a moving shape begins and ends, in shares of the picture's side: 12 of 112 pixels."""
_DRAWN = 2
"""Version of the drawing; a new one makes files anew."""


@dataclass(frozen=True, slots=True)
class World:
    """Sizes that all clips of a set share; lengths in frames."""

    frames: int = 256
    fps: int = 8
    size: int = 112
    """Pixels a side."""
    events: int = 3
    cue: int = 24
    """Shortest cue."""
    cue_most: int = 24
    """Longest cue."""
    gap: int = 16
    """Least distance between cues, and from either end of the clip."""
    flash: int = 4
    margin: int = 6
    """What a single flash keeps from both ends of its cue. At 6, with a grid of 16 frames, eight frames between the
    neighbours of any one grid frame that shows the cue always show the flash, also where two show it."""
    prior: float = 0.0
    """How often an event's shape is the one that belongs to its colour; else it is any other (0: any at all)."""

    def check(self, name: str) -> None:
        """Raise UserError, naming the source, for sizes that do not fit together."""
        wrong = {
            f"events is {self.events}, expected 1 to {len(COLOURS)}": not 1 <= self.events <= len(COLOURS),
            f"size is {self.size}, expected an even number from 56 to 1024": self.size % 2
            or not 56 <= self.size <= 1024,
            f"fps is {self.fps}, expected 1 to 60": not 1 <= self.fps <= 60,
            f"prior is {self.prior:g}, expected 0 to 1": not 0 <= self.prior <= 1,
            f"cue {self.cue} to {self.cue_most} is no range": not 0 < self.cue <= self.cue_most,
            f"gap {self.gap} or margin {self.margin} is negative": min(self.gap, self.margin) < 0,
            f"a flash of {self.flash} with margin {self.margin} on both sides needs a longer cue than {self.cue}": (
                self.flash < 1 or self.flash + 2 * self.margin > self.cue
            ),
            f"{self.frames} frames do not hold {self.events} cues of {self.cue_most} with {self.gap} around": (
                self.events * self.cue_most + (self.events + 1) * self.gap > self.frames
            ),
        }
        for text, holds in wrong.items():
            if holds:
                raise UserError(f"source {name}: {text}; change the options of the data set")


@dataclass(frozen=True, slots=True)
class Event:
    """One cue and the flashes in it."""

    family: str
    """The question that the event is made for."""
    colour: str
    shape: str
    first: int
    length: int
    flashes: tuple[int, ...]
    """First frame of each flash."""
    moves: str = ""
    """Direction in which the shape goes during a flash."""
    aside: float = 0.0
    """Offset across the direction, in shares of the reach, so that one frame tells no direction."""

    def place(self, index: int, flash: int) -> tuple[float, float] | None:
        """Where the shape's middle is in a frame, in reaches from the picture's middle; None where it is not seen."""
        inside = [index - start for start in self.flashes if start <= index < start + flash]
        if not inside:
            return None
        if not self.moves:
            return 0.0, 0.0
        (right, down), along = DIRECTIONS[self.moves], 2 * inside[0] / max(flash - 1, 1) - 1
        return (along * right, self.aside) if right else (self.aside, along * down)


@dataclass(frozen=True, slots=True)
class Speck:
    """A small grey shape that drifts and means nothing. Lengths in shares of the picture's side."""

    shape: str
    side: float
    grey: int
    start: tuple[float, float]
    speed: tuple[float, float]
    """A frame."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides the pixels of a clip."""

    seed: str
    world: World
    events: tuple[Event, ...]
    """In order of time."""
    specks: tuple[Speck, ...]
    white: int
    """Brightness of the flashing shapes."""
    ground: tuple[int, int, int]

    @property
    def digest(self) -> str:
        """Changes with anything that is drawn."""
        return hashlib.sha256(f"{_DRAWN} {asdict(self)}".encode()).hexdigest()

    def event_at(self, index: int) -> Event | None:
        """The event whose cue is seen in a frame."""
        return next((event for event in self.events if event.first <= index < event.first + event.length), None)


def make_scene(seed: str, world: World, families: Mapping[str, float]) -> Scene:
    """The scene of a seed. Each event is made for one family, drawn by its share."""
    rng = random.Random(seed)
    lengths = [rng.randint(world.cue, world.cue_most) for _ in range(world.events)]
    free = world.frames - sum(lengths) - world.gap * (world.events + 1)
    firsts = _spread(rng, lengths, free, world.gap)
    drawn = rng.choices(list(families), list(families.values()), k=world.events)
    colours = rng.sample(list(COLOURS), world.events)
    parts = zip(drawn, colours, firsts, lengths, strict=True)
    events = tuple(_make_event(rng, world, *part) for part in parts)
    specks = tuple(_make_speck(rng) for _ in range(rng.randint(2, 3)))
    ground = (rng.randint(14, 38), rng.randint(14, 38), rng.randint(14, 38))
    return Scene(seed, world, events, specks, rng.randint(225, 255), ground)


def _spread(rng: random.Random, lengths: list[int], free: int, gap: int) -> list[int]:
    """Where things of these lengths begin, at least `gap` apart and from the beginning, with `free` frames to spare."""
    cuts = sorted(rng.randint(0, free) for _ in lengths)
    return [gap * (place + 1) + sum(lengths[:place]) + cut for place, cut in enumerate(cuts)]


def _make_event(rng: random.Random, world: World, family: str, colour: str, first: int, length: int) -> Event:
    shape, count, flash = _draw_shape(rng, colour, world.prior), 1, world.flash
    if family == "count":
        count = rng.randint(1, min(MOST_FLASHES, (length + flash) // (2 * flash)))
        free = length - (2 * count - 1) * flash
        flashes = tuple(first + start - flash for start in _spread(rng, [flash] * count, free, flash))
    else:
        flashes = (first + rng.randint(world.margin, length - world.margin - flash),)
    moves = rng.choice(list(DIRECTIONS)) if family == "direction" else ""
    aside = 2 * rng.randrange(flash) / max(flash - 1, 1) - 1 if moves else 0.0
    return Event(family, colour, shape, first, length, flashes, moves, aside)


def _draw_shape(rng: random.Random, colour: str, prior: float) -> str:
    own = SHAPES[list(COLOURS).index(colour)]
    if not prior:
        return rng.choice(SHAPES)
    return own if rng.random() < prior else rng.choice([shape for shape in SHAPES if shape != own])


def _make_speck(rng: random.Random) -> Speck:
    start, speed = (rng.random(), rng.random()), (rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02))
    return Speck(
        rng.choice(("circle", "square", "triangle")), rng.uniform(0.07, 0.125), rng.randint(85, 125), start, speed
    )
