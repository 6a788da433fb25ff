"""What a made-up scan shows, before anything is drawn: a kind of picture, a part of the body, one to three lesions.

The words for it are a closed lexicon of about 140, in groups of synonyms, so that of any short answer it can be told
whether it says the same, another thing, or the other side. Sides are those of the picture as it is seen.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import asdict, dataclass
from itertools import product

from mmreason.errors import UserError

Words = dict[str, tuple[str, ...]]
"""Word -> its synonyms, itself first."""
SHAPES: Words = {
    "nodule": ("nodule", "disc", "ball"),
    "ring": ("ring", "annulus", "circlet"),
    "block": ("block", "square", "cube"),
    "wedge": ("wedge", "triangle", "cone"),
    "cross": ("cross", "plus", "star"),
    "band": ("band", "streak", "stripe"),
}
SIZES: Words = {"large": ("large", "big", "enlarged"), "small": ("small", "little", "tiny")}
SHADES: Words = {"bright": ("bright", "hyperdense", "white"), "dark": ("dark", "hypodense", "black")}
ROWS: Words = {
    "upper": ("upper", "top", "superior"),
    "middle": ("middle", "mid"),
    "lower": ("lower", "bottom", "inferior"),
}
COLUMNS: Words = {"left": ("left",), "centre": ("centre", "midline", "central"), "right": ("right",)}
MODALITIES: Words = {
    "ct": ("ct", "tomogram"),
    "mri": ("mri", "mr"),
    "radiograph": ("radiograph", "xray", "film"),
    "ultrasound": ("ultrasound", "sonogram", "echo"),
}
ORGANS: Words = {"head": ("head", "skull"), "chest": ("chest", "thorax"), "abdomen": ("abdomen", "belly")}
COUNTS: Words = {"one": ("one", "1", "single"), "two": ("two", "2", "pair"), "three": ("three", "3", "triple")}
POLARITY: Words = {"yes": ("yes",), "no": ("no",)}
KINDS: dict[str, Words] = {
    "shape": SHAPES,
    "size": SIZES,
    "shade": SHADES,
    "row": ROWS,
    "column": COLUMNS,
    "modality": MODALITIES,
    "organ": ORGANS,
    "count": COUNTS,
    "polarity": POLARITY,
}
"""Kind of word -> word -> its synonyms, itself first. No word stands under two."""
ZONES = tuple(product(ROWS, COLUMNS))
_DRAWN = 6
"""Version of the drawing; a new one makes files anew."""


def _pairs(shift: int) -> frozenset[tuple[str, str, str]]:
    """One shape of each zone, so that every shape and every zone also occurs in other pairs."""
    names = list(SHAPES)
    return frozenset((names[(place + shift) % len(names)], *zone) for place, zone in enumerate(ZONES))


HELD_OUT = _pairs(0)
"""(shape, row, column) that `pairs: seen` never shows: 9 of 54."""
RARE = _pairs(3)
"""Another 9, which `rare` makes less common."""


@dataclass(frozen=True, slots=True)
class World:
    """What all scans of a set share."""

    cell: int = 28
    """Pixels a side of a zone; a scan is three by three of them. 28: one merged patch of Qwen2.5-VL."""
    most: int = 3
    """Lesions of a scan at most; at least one."""
    pairs: str = "all"
    """Which (shape, zone) pairs lesions may be: all, seen (without HELD_OUT) or held_out (only these)."""
    rare: float = 1.0
    """Weight of a pair of RARE against 1 of any other."""

    def check(self, name: str) -> None:
        """Raise UserError, naming the source, for values that make no sense."""
        wrong = {
            f"cell is {self.cell}, expected an even number from 28 to 280": self.cell % 2 or not 28 <= self.cell <= 280,
            f"most is {self.most}, expected 1 to {len(COUNTS)}": not 1 <= self.most <= len(COUNTS),
            f"pairs is {self.pairs!r}, expected all, seen or held_out": self.pairs not in ("all", "seen", "held_out"),
            f"rare is {self.rare:g}, expected 0 to 1": not 0 <= self.rare <= 1,
        }
        for text, holds in wrong.items():
            if holds:
                raise UserError(f"source {name}: {text}; change the options of the data set")

    def weight(self, pair: tuple[str, str, str]) -> float:
        """How common a (shape, row, column) is."""
        if self.pairs != "all" and (pair in HELD_OUT) != (self.pairs == "held_out"):
            return 0.0
        return self.rare if pair in RARE else 1.0


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion in the words of the lexicon, and how exactly it is drawn."""

    shape: str
    size: str
    shade: str
    row: str
    column: str
    side: float
    """Share of the zone's side."""
    grey: int

    @property
    def pair(self) -> tuple[str, str, str]:
        return self.shape, self.row, self.column

    @property
    def place(self) -> int:
        """Of its zone in reading order, from 0."""
        return ZONES.index((self.row, self.column))


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides the pixels of a scan."""

    seed: str
    world: World
    modality: str
    organ: str
    lesions: tuple[Lesion, ...]
    """In reading order, in other zones; all of other shapes, or on a plate of the same."""
    body: int
    """Mean grey of the body."""

    @property
    def digest(self) -> str:
        """Changes with anything that is drawn; how a set chooses its lesions is not."""
        drawn = {key: value for key, value in asdict(self).items() if key != "world"}
        return hashlib.sha256(f"{_DRAWN} {self.world.cell} {drawn}".encode()).hexdigest()


def make_scene(seed: str, world: World) -> Scene:
    """The scan of a seed."""
    rng = random.Random(seed)
    modality, organ, body = _ground(rng)
    lesions: list[Lesion] = []
    for _ in range(rng.randint(1, world.most)):
        lesions.append(_make_lesion(rng, world, lesions))
    return Scene(seed, world, modality, organ, tuple(sorted(lesions, key=lambda lesion: lesion.place)), body)


def make_plate(seed: str, world: World) -> Scene:
    """A scan whose zones all show one shape in one size, all bright, all dark or some of each: wherever a model that
    can't tell zones apart looks, it sees the same. Zones that `pairs` denies the shape stay clear."""
    rng = random.Random(seed)
    modality, organ, body = _ground(rng)
    shape, size = rng.choice(list(SHAPES)), rng.choice(list(SIZES))
    shades = rng.choice([["bright"], ["dark"], list(SHADES)])
    shown = [zone for zone in ZONES if world.weight((shape, *zone))]
    lesions = tuple(_sized(rng, shape, size, rng.choice(shades), *zone) for zone in shown)
    return Scene(seed, world, modality, organ, lesions, body)


def _ground(rng: random.Random) -> tuple[str, str, int]:
    """Kind of picture, part of the body, its mean grey."""
    return rng.choice(list(MODALITIES)), rng.choice(list(ORGANS)), rng.randint(104, 124)


def _make_lesion(rng: random.Random, world: World, others: list[Lesion]) -> Lesion:
    """A lesion whose shape and zone no other has."""
    taken = {other.shape for other in others}, {(other.row, other.column) for other in others}
    free = [(s, *zone) for s in SHAPES for zone in ZONES if s not in taken[0] and zone not in taken[1]]
    ((shape, row, column),) = rng.choices(free, [world.weight(pair) for pair in free])
    return _sized(rng, shape, rng.choice(list(SIZES)), rng.choice(list(SHADES)), row, column)


def _sized(rng: random.Random, shape: str, size: str, shade: str, row: str, column: str) -> Lesion:
    side = rng.uniform(0.80, 0.86) if size == "large" else rng.uniform(0.60, 0.66)
    grey = rng.randint(228, 250) if shade == "bright" else rng.randint(22, 40)
    return Lesion(shape, size, shade, row, column, round(side, 3), grey)


def kind_of(word: str) -> tuple[str, str] | None:
    """(kind, word of the lexicon) that a word means; None for a foreign one."""
    return _MEANING.get(word)


_MEANING = {
    synonym: (kind, word) for kind, words in KINDS.items() for word, synonyms in words.items() for synonym in synonyms
}
