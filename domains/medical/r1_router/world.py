"""A made-up world in three knowledge bases, and questions that need one to three of them in turn.

    picture base   a glyph -> the disease it is drawn for
    text base      disease -> drug, disease -> test, drug -> plant, test -> organ
    table base     disease -> rate, drug -> dose, drug -> price, test -> cost

Each relation stands in one base alone, so the base is part of the question's solution. Names are pairs of common words:
pairs of the test part never occur in training, nor does anything that they lead to, so that nobody answers by heart.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.data.step import ReadRequest
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.retrieval.passages import Passage

glyphs = load_module(Path(__file__).parent / "glyphs.py")

TEXT, IMAGE, TABLE = "Text Retriever", "Text Image Retriever", "Table Retriever"
_WORDS = {
    "disease": (
        "red blue green grey black white pale dark dry wet cold hot "
        "acid sweet sour mild grave swift late old new high low dull",
        "fever rash cough ache cramp palsy colic gout croup ague tremor chill "
        "spasm ulcer cyst wart itch burn sprain boil sting lump faint sneeze",
    ),
    "drug": (
        "bora cina dufo fexa gila hemo jopa kila lupo mera nivo opra "
        "pexi quna rivo sela tuma vexo wira xeno yaro zepi alba evro",
        "lin tol zan mab pril stat cil rin dex fen sol vir gan pam ril cef dol vax nol tam bex mun kor sab",
    ),
    "test": (
        "quick slow deep flat long short wide fine full half twin single "
        "plain sharp light heavy broad steep loose tight smooth rough round square",
        "scan swab probe assay smear panel trace count stain film graph print "
        "gauge meter check screen sample plate lens beam pulse slide draw map",
    ),
}
"""First and second words of names, by kind."""
_PLANTS = "moss fern pine sage mint rose lily reed palm oak elm ivy".split()
_ORGANS = "heart liver lung kidney brain spleen skin bone eye ear throat colon".split()
PICTURED = "disease in picture"
"""How a question names what its picture shows."""


@dataclass(frozen=True, slots=True)
class Relation:
    """From one kind of thing to another, by way of one base."""

    subject: str
    object: str
    base: str


RELATIONS = {
    "name": Relation("picture", "disease", IMAGE),
    "drug": Relation("disease", "drug", TEXT),
    "test": Relation("disease", "test", TEXT),
    "rate": Relation("disease", "number", TABLE),
    "dose": Relation("drug", "number", TABLE),
    "price": Relation("drug", "number", TABLE),
    "plant": Relation("drug", "plant", TEXT),
    "cost": Relation("test", "number", TABLE),
    "organ": Relation("test", "organ", TEXT),
}


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a solution."""

    relation: str
    subject: str
    object: str

    @property
    def base(self) -> str:
        return RELATIONS[self.relation].base

    @property
    def query(self) -> str:
        """The sub-question."""
        return f"{PICTURED} ?" if self.relation == "name" else f"{self.relation} of {self.subject} ?"

    def to_dict(self) -> dict[str, str]:
        """The hop with its base, its sub-question and the passage that states it (`told`)."""
        passage = told(self.relation, self.subject, self.object)
        return {**asdict(self), "base": self.base, "query": self.query, "told": passage}


class WorldSettings(Strict):
    """`options.router_world`: what decides the world itself; the same values give the same one."""

    things: int = Field(default=480, ge=10, le=576)
    """Names of each kind: diseases, drugs, tests."""
    test_share: float = Field(default=0.25, gt=0, lt=1)
    """Of the names, those that the test part asks about."""
    world: int = 0
    """Seed of the world."""


class QuestionSettings(WorldSettings):
    """Options of the source: the world, and how many questions are asked of it."""

    questions: int = Field(default=600, ge=1)
    hops: list[int] = Field(default_factory=lambda: [1, 2, 3], min_length=1)
    """Lengths, in turns."""
    variants: int = Field(default=3, ge=1)
    """Pictures of each disease."""
    size: int = Field(default=28, ge=12)
    """Pixels a side."""


@dataclass(frozen=True)
class World:
    """Facts by relation, and what the two parts may ask about."""

    facts: dict[str, dict[str, str]]
    """Relation -> subject -> object; pictures are named after their disease."""
    parts: dict[str, frozenset[str]]
    """"train" and "test" -> names; a fact never leaves its part."""

    def passages(self, base: str) -> list[Passage]:
        """What a base holds."""
        return [
            Passage(f"{relation}/{subject}", told(relation, subject, found), source=base)
            for relation, facts in self.facts.items()
            if RELATIONS[relation].base == base
            for subject, found in facts.items()
        ]


def told(relation: str, subject: str, found: str) -> str:
    """The passage that states a fact."""
    if relation == "name":
        return f"picture of {found}"
    return (
        f"{subject} | {relation} | {found}"
        if RELATIONS[relation].base == TABLE
        else f"{relation} of {subject} is {found}"
    )


@functools.lru_cache(maxsize=8)
def make(settings: WorldSettings) -> World:
    """The world of these settings."""
    rng = random.Random(f"router:{settings.world}")
    cut = round(settings.things * settings.test_share)
    names: dict[str, dict[str, list[str]]] = {}
    for kind, (firsts, seconds) in _WORDS.items():
        every = [f"{first} {second}" for first in firsts.split() for second in seconds.split()]
        pairs = rng.sample(every, settings.things)
        names[kind] = {"test": pairs[:cut], "train": pairs[cut:]}
    facts: dict[str, dict[str, str]] = {name: {} for name in RELATIONS}
    for part in ("train", "test"):
        for relation, kinds in RELATIONS.items():
            for subject in names["disease" if kinds.subject == "picture" else kinds.subject][part]:
                facts[relation][subject] = subject if relation == "name" else _object(kinds.object, names, part, rng)
    parts = {part: frozenset(itertools.chain(*(own[part] for own in names.values()))) for part in ("train", "test")}
    return World(facts, parts)


def _object(kind: str, names: dict[str, dict[str, list[str]]], part: str, rng: random.Random) -> str:
    if kind in names:
        return rng.choice(names[kind][part])
    return str(rng.randrange(10, 100)) if kind == "number" else rng.choice(_PLANTS if kind == "plant" else _ORGANS)


def chains(world: World, part: str, length: int) -> list[tuple[Hop, ...]]:
    """Every solution of `length` hops over the names of a part."""
    found: list[tuple[Hop, ...]] = [()]
    for _ in range(length):
        found = [(*chain, hop) for chain in found for hop in _onward(world, part, chain)]
    return found


def _onward(world: World, part: str, chain: Sequence[Hop]) -> Iterator[Hop]:
    """Hops that may follow; a disease in a picture is found in no other way."""
    for relation, kinds in RELATIONS.items():
        if not chain:
            for subject, found in world.facts[relation].items():
                if subject in world.parts[part]:
                    yield Hop(relation, subject, found)
        elif RELATIONS[chain[-1].relation].object == kinds.subject:
            yield Hop(relation, chain[-1].object, world.facts[relation][chain[-1].object])


def wording(chain: Sequence[Hop]) -> str:
    """The question: "dose of drug of red fever ?", "price of drug of disease in picture ?"."""
    pictured = chain[0].relation == "name"
    begun = PICTURED if pictured else chain[0].subject
    asked = [hop.relation for hop in reversed(chain[1:] if pictured else chain)]
    return " of ".join([*asked, begun]) + " ?"


def questions(request: ReadRequest) -> Iterator[Sample]:
    """Reader of the generated set. Lengths come in turns; a part holds each question once.

    Metadata: `chain` (the hops), `hops`, `bases` in the order of the solution.
    """
    own = validate(QuestionSettings, request.options, f"source {request.name}")
    world = make(world_of(own))
    part = "test" if request.split == "test" else "train"
    rng = random.Random(f"{request.seed}:{request.split}:questions")
    every = {length: chains(world, part, length) for length in sorted(set(own.hops))}
    left = {length: rng.sample(found, len(found)) for length, found in every.items()}
    turns = itertools.cycle(own.hops)
    for number in range(min(own.questions, sum(map(len, left.values())))):
        length = next(turn for turn in turns if left[turn])
        yield _sample(request, left[length].pop(), number, own)


def world_of(own: WorldSettings) -> WorldSettings:
    """The part of the options that makes the world."""
    return WorldSettings(**{name: getattr(own, name) for name in WorldSettings.model_fields})


def _sample(request: ReadRequest, chain: tuple[Hop, ...], number: int, own: QuestionSettings) -> Sample:
    name = f"{request.split}{request.seed}-{number:05d}"
    media: tuple[MediaRef, ...] = ()
    if chain[0].relation == "name":
        drawn = f"glyphs/{own.size}/{chain[0].object.replace(' ', '-')}-{number % own.variants}.png"
        if request.need_media and request.root is not None:
            glyphs.keep(chain[0].object, number % own.variants, own.size, request.root / drawn)
        media = (request.attach(drawn),)
    gold = chain[-1].object
    return Sample(
        id=f"{request.name}-{name}",
        source=Source(request.name, request.split, request.entry.licence, name, f"{request.name}-{name}"),
        messages=(Message.about(wording(chain), media),),
        answer=Answer(AnswerKind.SPAN, gold),
        media=media,
        metadata={
            "question": wording(chain),
            "hops": len(chain),
            "bases": [hop.base for hop in chain],
            "first_base": chain[0].base,
            "golds": [gold],
            "chain": [hop.to_dict() for hop in chain],
        },
    )
