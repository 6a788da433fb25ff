"""A made-up medical world as a typed graph: diseases with findings, a test each, and the treatment a test leads to.

Sizes and Zipf's law of the diseases follow the small-scale check (200 diseases, 400 findings, 100 tests, 100
treatments). Reconstructed: diseases come in families that draw their findings from one pool, since among 400 findings
drawn freely hardly two diseases share two, and then no distractor is near; commoner diseases have more findings.
Names are letters alone, "d" and two more for a disease, since tokenizers take numbers apart digit by digit.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from string import ascii_lowercase

from pydantic import Field, model_validator

from mmreason.config.strict import Strict
from mmreason.project import load_module

graphs = load_module(Path(__file__).parent / "graph.py")
checks = load_module(Path(__file__).parent / "graph_checks.py")
Edge, Graph, Node, Relation = graphs.Edge, graphs.Graph, graphs.Node, graphs.Relation

SCHEMA = {
    "presents": Relation("disease", "finding"),
    "confirmed": Relation("disease", "test"),
    "guides": Relation("test", "treatment"),
}


class WorldSettings(Strict):
    """Sizes of the world; the same values and seed give the same graph."""

    diseases: int = Field(default=200, ge=2)
    findings: int = Field(default=400, ge=4)
    tests: int = Field(default=100, ge=1)
    treatments: int = Field(default=100, ge=1)
    families: int = Field(default=40, ge=1)
    """Groups of diseases with one pool of findings each [reconstructed]: five diseases and ten findings a family."""
    zipf: float = Field(default=1.0, ge=0)
    """Disease of rank r occurs in proportion to r ** -zipf."""
    findings_least: int = Field(default=4, ge=1)
    """Findings of the rarest disease [reconstructed]."""
    findings_most: int = Field(default=8, ge=1)
    """Findings of the commonest [reconstructed]: four fifths of a pool, so that two of a family differ."""
    world: int = 0
    """Seed of the graph."""

    @model_validator(mode="after")
    def _pools(self) -> WorldSettings:
        pool = self.findings // self.families
        if not self.findings_least <= self.findings_most <= pool:
            raise ValueError(
                f"findings_least {self.findings_least} <= findings_most {self.findings_most} <= {pool} findings a "
                "family (findings / families) is wanted"
            )
        return self


def make(settings: WorldSettings) -> Graph:
    """The graph of these settings. The first disease by name is the commonest."""
    rng = random.Random(f"world:{settings.world}")
    diseases, findings, tests, treatments = (
        _named(letter, count)
        for letter, count in (
            ("d", settings.diseases),
            ("f", settings.findings),
            ("t", settings.tests),
            ("r", settings.treatments),
        )
    )
    rng.shuffle(findings)
    pools = [sorted(findings[family :: settings.families]) for family in range(settings.families)]
    homes = [place % settings.families for place in range(settings.diseases)]
    rng.shuffle(homes)  # a family holds common and rare diseases
    edges = []
    for rank, (disease, home) in enumerate(zip(diseases, homes, strict=True), 1):
        for finding in sorted(rng.sample(pools[home], _count(rank, settings))):
            edges.append(Edge(disease, "presents", finding))
        edges.append(Edge(disease, "confirmed", rng.choice(tests)))
    edges += [Edge(test, "guides", rng.choice(treatments)) for test in tests]
    nodes = [Node(name, name, "disease", rank**-settings.zipf) for rank, name in enumerate(diseases, 1)]
    for kind, names in (("finding", sorted(findings)), ("test", tests), ("treatment", treatments)):
        nodes += [Node(name, name, kind) for name in names]
    return checks.build(nodes, edges, SCHEMA)[0]


def _named(letter: str, count: int) -> list[str]:
    width = next(width for width in itertools.count(2) if len(ascii_lowercase) ** width >= count)
    endings = itertools.product(ascii_lowercase, repeat=width)
    return [letter + "".join(ending) for ending in itertools.islice(endings, count)]


def _count(rank: int, settings: WorldSettings) -> int:
    """From most to least as ranks go down, evenly in the rank."""
    share = (rank - 1) / max(1, settings.diseases - 1)
    return round(settings.findings_most - share * (settings.findings_most - settings.findings_least))
