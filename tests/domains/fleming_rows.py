"""A graph small enough to count by hand, requests and samples for the tests of Fleming-R1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmreason.config.domain import SourceEntry
from mmreason.data.step import Drop, ReadRequest
from mmreason.project import load_module
from mmreason.records import Sample

MEDICAL = Path(__file__).parents[2] / "domains" / "medical"
FLEMING = MEDICAL / "fleming_r1"
checks = load_module(MEDICAL / "graph_checks.py")
tables = load_module(MEDICAL / "graph_hetionet.py")
worlds = load_module(MEDICAL / "graph_world.py")
patterns = load_module(FLEMING / "patterns.py")
rods = load_module(FLEMING / "rods.py")
Edge, Node = checks.Edge, checks.Node

FACTS = {
    "flu": (("fever", "cough", "ache"), "swab"),
    "cold": (("cough", "ache", "sneeze"), "look"),
    "covid": (("fever", "cough", "sneeze", "anosmia"), "swab"),
    "gout": (("ache", "fever", "redness"), "uric"),
    "sunburn": (("redness", "itch"), "look"),
}
"""Disease -> findings and test."""
GUIDES = {"swab": "rest", "look": "cream", "uric": "diet"}


def small() -> Any:
    """Five diseases of the made-up world's kinds; every answer and distractor can be counted by hand."""
    kinds = {name: "disease" for name in FACTS}
    kinds |= {finding: "finding" for findings, _ in FACTS.values() for finding in findings}
    kinds |= {test: "test" for test in GUIDES} | {one: "treatment" for one in GUIDES.values()}
    edges = [Edge(name, "presents", finding) for name, (findings, _) in FACTS.items() for finding in findings]
    edges += [Edge(name, "confirmed", test) for name, (_, test) in FACTS.items()]
    edges += [Edge(test, "guides", treatment) for test, treatment in GUIDES.items()]
    return checks.build([Node(name, name, kind) for name, kind in kinds.items()], edges, worlds.SCHEMA)[0]


def clues(*findings: str, later: int = 0) -> tuple[tuple[Any, ...], ...]:
    """Findings of the first blank, and none for `later` more."""
    return (tuple(patterns.Clue("presents", one) for one in findings), *[()] * later)


def request(split: str = "train", files: tuple[Path, ...] = (), seed: int = 0, **options: Any) -> ReadRequest:
    entry = SourceEntry(title="made", licence="Apache-2.0", commercial=True, use="train", reader="rods.py:world")
    return ReadRequest("rods", split, list(files), entry, options, seed)


def read(reader: Any, *args: Any, **options: Any) -> tuple[list[Sample], list[Drop]]:
    """What a reader gives, apart."""
    found = list(reader(request(*args, **options)))
    return [one for one in found if isinstance(one, Sample)], [one for one in found if isinstance(one, Drop)]
