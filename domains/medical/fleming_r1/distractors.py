"""Relation-preserving distractors: nodes of the answer's kind that share clues with it and contradict at least one.

Where too few share `shared_least` clues, those that share fewer stand in, and at last any node of the kind that has a
path; how many came from which step is counted with the item (arXiv 2509.15279, 3.1; the numbers are reconstructed).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmreason.project import load_module

_HERE = Path(__file__).parent
patterns = load_module(_HERE / "patterns.py")
sampling = load_module(_HERE / "sampling.py")
Graph, Masked = patterns.Graph, sampling.Masked


@dataclass(frozen=True, slots=True)
class Rival:
    """One option of an item."""

    node: str
    shared: int
    """Clues that hold for it."""
    path: tuple[str, ...]
    """The nodes along which they hold; the last is `node`."""
    holds: tuple[tuple[bool, ...], ...]
    """For each blank and clue whether it holds along the path."""


def rivals(graph: Graph, item: Masked, count: int, rng: random.Random) -> list[Rival]:
    """At most `count` distractors, those that share most first, equals in random order; names differ from one another.

    None satisfies every clue: then it would be a second answer, which `sampling.mask` excludes.
    """
    found = patterns.supported(graph, item.pattern, item.clues)
    none = patterns.Support(0, ())
    names = {_name(graph, item.path[-1])}
    chosen: list[Rival] = []
    for node in _ranked(graph, item, found, rng):
        if len(chosen) == count:
            break
        if _name(graph, node) not in names:
            names.add(_name(graph, node))
            chosen.append(_rival(graph, item, node, found.get(node, none).path))
    return chosen


def _ranked(graph: Graph, item: Masked, found: Mapping[str, patterns.Support], rng: random.Random) -> Iterator[str]:
    """The nodes that share a clue, most first, then all others of the kind, those that nothing leads to last."""
    near = sorted(found.keys() - {item.path[-1]})
    rng.shuffle(near)
    yield from sorted(near, key=lambda node: -found[node].shared)
    far = sorted(set(graph.of_kind(item.pattern.kinds(graph)[-1])) - found.keys() - {item.path[-1]})
    rng.shuffle(far)
    yield from sorted(far, key=lambda node: _cut_off(graph, item, node))


def _cut_off(graph: Graph, item: Masked, node: str) -> bool:
    """Whether nothing leads to the node, so that it could never be an answer: the last to stand in."""
    hops = item.pattern.hops
    return bool(hops) and not graph.neighbours(node, patterns.inverse(hops[-1]))


def own_rival(graph: Graph, item: Masked) -> Rival:
    """The answer as an option: all clues hold."""
    return _rival(graph, item, item.path[-1], item.path)


def _rival(graph: Graph, item: Masked, node: str, path: tuple[str, ...]) -> Rival:
    if len(path) < item.pattern.length:
        path = _any_path(graph, item, node)
    shift = item.pattern.length - len(path)  # a node that nothing leads to stands alone in the last blank
    holds = tuple(
        tuple(place >= shift and path[place - shift] in patterns.satisfying(graph, clue) for clue in own)
        for place, own in enumerate(item.clues)
    )
    return Rival(node, sum(map(sum, holds)), path, holds)


def _any_path(graph: Graph, item: Masked, node: str) -> tuple[str, ...]:
    """The first path that ends in `node`, walked back from it; as long as there is one."""
    path = (node,)
    for hop in reversed(item.pattern.hops):
        behind = sorted(graph.neighbours(path[0], patterns.inverse(hop)) - set(path))
        if not behind:
            return path
        path = (behind[0], *path)
    return path


def _name(graph: Graph, node: str) -> str:
    return " ".join(str(graph.nodes[node].name).casefold().split())
