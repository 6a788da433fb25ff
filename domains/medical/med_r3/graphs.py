"""Knowledge graphs of thoughts as sets of triples, and how alike two of them are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

Triple = tuple[str, str, str]
"""(one entity, relation, other entity), normalised."""
Path = tuple[str, ...]
"""Entities and relations by turns, from a root."""

_STATEMENT = re.compile(r"(?:^|(?<=[.>\n]))\s*([\w-]+) ([\w-]+) ([\w-]+)\s*(?=\.)")
_SPANS = re.compile(r"<(search|document)>.*?(?:</\1>|$)", re.DOTALL)


def normal(text: str) -> str:
    """Lower case, single spaces."""
    return " ".join(text.lower().split())


def triples(rows: Iterable[Sequence[object]]) -> frozenset[Triple]:
    """Normalised triples of rows (entity, relation, entity, ...); rows of another form are left out."""
    texts = [[normal(str(part)) for part in row[:3]] for row in rows if len(row) >= 3]
    return frozenset((a, b, c) for a, b, c in texts if a and b and c)


def stated(thought: str) -> frozenset[Triple]:
    """Statements "relation one other ." of a thought, outside its searches."""
    bare = _SPANS.sub("\n", thought)
    return triples((one, relation, other) for relation, one, other in _STATEMENT.findall(bare))


def entities(graph: Iterable[Triple]) -> frozenset[str]:
    """Both ends of every triple."""
    return frozenset(end for one, _, other in graph for end in (one, other))


def paths(graph: frozenset[Triple], hops: int) -> frozenset[Path]:
    """Every path of 1 to `hops` relations from a root, no entity twice. Roots are entities that nothing leads to; in
    a part of the graph that is all cycles, every entity of it."""
    onward: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for one, relation, other in sorted(graph):
        onward[one].append((relation, other))
    roots = entities(graph) - {other for _, _, other in graph}
    found = _walk(onward, roots, hops)
    covered = {end for path in found for end in path[::2]}
    return found | _walk(onward, entities(graph) - covered, hops)


def _walk(onward: dict[str, list[tuple[str, str]]], roots: Iterable[str], hops: int) -> frozenset[Path]:
    found: list[Path] = []
    front: list[Path] = [(root,) for root in roots]
    for _ in range(hops):
        front = [
            (*path, relation, other)
            for path in front
            for relation, other in onward.get(path[-1], ())
            if other not in path[::2]
        ]
        found += front
    return frozenset(found)


def jaccard(one: frozenset[object], other: frozenset[object]) -> float:
    """Shared over all; 0 where both are empty."""
    return len(one & other) / len(one | other) if one | other else 0.0


def logic(one: frozenset[Triple], other: frozenset[Triple], hops: int) -> float:
    """Jaccard of the paths of two graphs."""
    return jaccard(frozenset(paths(one, hops)), frozenset(paths(other, hops)))


def statistics(one: frozenset[Triple], other: frozenset[Triple]) -> float:
    """Jaccard of the entities of two graphs."""
    return jaccard(frozenset(entities(one)), frozenset(entities(other)))
