"""A made-up medical world to search: facts, passages of three kinds of sources that err unlike often, and questions.

A disease has a sign and a test; a test leads to a drug. Every fact stands in a passage of each source; a passage of a
source that errs states another value. Questions ask for one fact of a disease, or over its test for the drug. Of some
diseases a model learns the facts by heart (`known`); of the others they are in the passages alone. Sizes are those of
the small-scale check brought down to what a model drawn at random learns in minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate
from mmreason.data.step import ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.retrieval.passages import Passage
from mmreason.retrieval.written import write_passages

PASSAGES = "med_r3/world.jsonl"
"""Below the run's folder of made files."""
ONE_HOP, TWO_HOPS = ("sign", "test"), ("test", "drug")
"""Relations asked by themselves; those of the longer question."""


class WorldSettings(Strict):
    """Sizes of the world and of what is asked; the same values and `world` give the same passages."""

    diseases: int = Field(160, ge=4)
    known: int = Field(20, ge=0)
    """Diseases whose facts are learnt by heart."""
    signs: int = Field(40, ge=2)
    tests: int = Field(40, ge=2)
    drugs: int = Field(40, ge=2)
    sources: dict[str, float] = Field(default={"guideline": 0.0, "trial": 0.1, "encyclopaedia": 0.4}, min_length=1)
    """Kind of source -> share of its passages that state a wrong value."""
    world: int = 0
    """Seed of the facts."""
    items: int = Field(1200, ge=1)
    """Questions of a split; each fact is asked several times, as another case."""
    held_out: float = Field(0.3, gt=0, lt=1)
    """Share of the unknown diseases that are asked about in the test split alone."""
    known_share: float = Field(0.25, ge=0, le=1)
    """Of the questions, about known diseases."""
    two_hops: float = Field(0.5, ge=0, le=1)
    """Of the questions, of two facts."""

    @model_validator(mode="after")
    def _some_unknown(self) -> WorldSettings:
        if self.known > self.diseases - 4:
            raise ValueError(f"known {self.known} of {self.diseases} diseases leaves fewer than 4 to search for")
        return self


@dataclass(frozen=True, slots=True)
class World:
    """Facts and who is known."""

    facts: Mapping[tuple[str, str], str]
    """(entity, relation) -> entity."""
    known: tuple[str, ...]
    trained: tuple[str, ...]
    """Unknown diseases of the training split."""
    tested: tuple[str, ...]

    def chain(self, disease: str, relations: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """The facts from a disease along relations."""
        found, at = [], disease
        for relation in relations:
            found.append((at, relation, self.facts[at, relation]))
            at = found[-1][2]
        return found


def make(own: WorldSettings) -> World:
    """The world of these settings."""
    rng = random.Random(f"med_r3:{own.world}")
    diseases, signs, tests, drugs = (
        _named(letter, count)
        for letter, count in (("d", own.diseases), ("s", own.signs), ("t", own.tests), ("r", own.drugs))
    )
    facts = {(disease, "sign"): rng.choice(signs) for disease in diseases}
    facts |= {(disease, "test"): rng.choice(tests) for disease in diseases}
    facts |= {(test, "drug"): rng.choice(drugs) for test in tests}
    order = rng.sample(diseases, len(diseases))
    known, unknown = order[: own.known], order[own.known :]
    cut = max(round(own.held_out * len(unknown)), 1)
    return World(facts, tuple(known), tuple(unknown[cut:]), tuple(unknown[:cut]))


def _named(letter: str, count: int) -> list[str]:
    """`count` codes of a letter and two digits or more, in order. A tokenizer has a token for each digit, so that codes
    which training never showed can be written; of whole words their tokens would be as they were drawn."""
    width = max(2, len(str(count - 1)))
    return [f"{letter}{number:0{width}d}" for number in range(count)]


def passages(own: WorldSettings, world: World) -> list[Passage]:
    """Every fact as each source states it: "guideline : sign d001 s17"."""
    rng = random.Random(f"med_r3 passages:{own.world}")
    values = {
        relation: sorted({v for (_, r), v in world.facts.items() if r == relation}) for _, relation in world.facts
    }
    made = []
    for (one, relation), right in sorted(world.facts.items()):
        for source, wrong in own.sources.items():
            value = rng.choice([v for v in values[relation] if v != right]) if rng.random() < wrong else right
            text = f" {source} : {relation} {one} {value}"
            told = {"right": value == right}
            made.append(Passage(f"{source}-{relation}-{one}", text, "", source, told))
    return made


def read(request: ReadRequest) -> Iterator[Sample]:
    """Reader: questions of the split ("train" or "test"); writes the passages beside the made files."""
    own = validate(WorldSettings, request.options, f"source {request.name}")
    world = make(own)
    found = passages(own, world)
    if request.root is not None:
        write_passages(request.root / PASSAGES, found)
    wrong = {(p.source, *p.text.split()[2:4]) for p in found if not p.metadata["right"]}
    rng = random.Random(f"med_r3 questions:{request.split}:{request.seed}")
    for number in range(own.items):
        known = rng.random() < own.known_share and bool(world.known)
        disease = rng.choice(world.known if known else world.tested if request.split == "test" else world.trained)
        relations = TWO_HOPS if rng.random() < own.two_hops else (rng.choice(ONE_HOP),)
        yield sample_of(request, number, world.chain(disease, relations), known, wrong)


def sample_of(
    request: ReadRequest, number: int, chain: list[tuple[str, str, str]], known: bool, wrong: set[tuple[str, ...]]
) -> Sample:
    """One question. Cases of the test split have odd numbers, so that no text of one split stands in the other."""
    case = 2 * number + (request.split == "test")
    asked = " of ".join(relation for _, relation, _ in reversed(chain))
    text = f" case {case} : {asked} of {chain[0][0]} ?"
    thought = "".join(f" {relation} {one} {other} ." for one, relation, other in chain)
    rows: list[list[Any]] = [[one, relation, other, not known] for one, relation, other in chain]
    disputed = any((source, relation, one) in wrong for one, relation, _ in chain for source in _sources(wrong))
    identity = f"{request.name}-{request.split}-{request.seed}-{number:05d}"
    return Sample(
        id=identity,
        source=Source(request.name, request.split, request.entry.licence, f"{number:05d}", identity),
        messages=(Message.of(Role.USER, text),),
        answer=Answer(AnswerKind.SPAN, chain[-1][2]),
        evidence={"references": [{"triples": rows, "text": thought}]},
        metadata={
            "family": f"{'known' if known else 'unknown'} {len(chain)}",
            "known": known,
            "hops": len(chain),
            "disputed": disputed,
            "question": text,
        },
    )


def _sources(wrong: set[tuple[str, ...]]) -> set[str]:
    return {entry[0] for entry in wrong}
