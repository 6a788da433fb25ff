"""A typed knowledge graph in memory: nodes with kinds, edges with relations, and the indexes that walks need.

A hop is one step along a relation, written as its name, or with "~" in front against its direction: with compounds
treating diseases (CtD), "CtD" leads from a compound to a disease and "~CtD" back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

BACK = "~"


class Edge(NamedTuple):
    """One fact, as released."""

    source: str
    relation: str
    target: str


@dataclass(frozen=True, slots=True)
class Node:
    """One entity."""

    id: str
    name: str
    kind: str
    weight: float | None = None
    """How often it occurs where the graph states that; None: its degree stands in."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Which kinds a relation joins."""

    source: str
    target: str
    symmetric: bool = False
    """The edge says the same in both directions."""


Schema = Mapping[str, Relation]
"""Relation's name -> what it joins."""


def inverse(hop: str) -> str:
    """The same relation walked the other way."""
    return hop.removeprefix(BACK) if hop.startswith(BACK) else BACK + hop


class Graph:
    """Nodes and edges that passed `graph_checks.build`; never changed after it is made."""

    def __init__(self, nodes: Iterable[Node], edges: Sequence[Edge], schema: Schema) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.edges, self.schema = tuple(edges), dict(schema)
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for edge in self.edges:
            found[edge.source, edge.relation].add(edge.target)
            found[edge.target, BACK + edge.relation].add(edge.source)
            if schema[edge.relation].symmetric:
                found[edge.target, edge.relation].add(edge.source)
                found[edge.source, BACK + edge.relation].add(edge.target)
        self._next = {key: frozenset(ids) for key, ids in found.items()}
        self._known = frozenset(self.edges)
        self._degree = Counter(end for edge in self.edges for end in (edge.source, edge.target))
        kinds: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes.values():
            kinds[node.kind].append(node.id)
        self._of_kind = {kind: tuple(sorted(ids)) for kind, ids in kinds.items()}

    def neighbours(self, node: str, hop: str) -> frozenset[str]:
        """Where `hop` leads from `node`; empty where it leads nowhere."""
        return self._next.get((node, hop), frozenset())

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Ids of all nodes of a kind, sorted."""
        return self._of_kind.get(kind, ())

    def ends(self, hop: str) -> tuple[str, str]:
        """Kinds that a hop leads from and to."""
        relation = self.schema[hop.removeprefix(BACK)]
        return (relation.target, relation.source) if hop.startswith(BACK) else (relation.source, relation.target)

    def degree(self, node: str) -> int:
        """Edges that touch the node."""
        return self._degree[node]

    def frequency(self, node: str) -> float:
        """How common the entity is: its stated weight, else its degree."""
        weight = self.nodes[node].weight
        return float(self._degree[node]) if weight is None else weight

    def edge(self, node: str, hop: str, other: str) -> Edge:
        """The fact behind one step, as it was released."""
        source, target = (other, node) if hop.startswith(BACK) else (node, other)
        stated = Edge(source, hop.removeprefix(BACK), target)
        return stated if stated in self._known else Edge(target, stated.relation, source)

    def among(self, ids: Iterable[str]) -> list[Edge]:
        """The edges of the induced sub-graph, sorted."""
        inside = set(ids)
        hops = [*self.schema]
        pairs = ((node, hop, other) for node in inside for hop in hops for other in self.neighbours(node, hop) & inside)
        return sorted({self.edge(node, hop, other) for node, hop, other in pairs})
