"""From rows to a graph that can be walked: what is broken is left out, counted and named; what is odd is told.

python domains/medical/graph_checks.py nodes.tsv edges.tsv [edges.tsv ...]     the report of a graph's files
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mmreason.project import load_module

graphs = load_module(Path(__file__).parent / "graph.py")
Edge, Graph, Node, Schema = graphs.Edge, graphs.Graph, graphs.Node, graphs.Schema
SHOWN = 3
"""Examples of one fault that a report names."""


class FaultKind(StrEnum):
    """What is wrong with a row. All but CYCLE leave the row out."""

    UNKNOWN_KIND = "unknown_kind"
    """A node of a kind that no relation joins."""
    DUPLICATE_NODE = "duplicate_node"
    UNKNOWN_RELATION = "unknown_relation"
    DANGLING = "dangling"
    """An edge with an end that is no node of the graph."""
    WRONG_KINDS = "wrong_kinds"
    """An edge between kinds that its relation does not join."""
    SELF_LOOP = "self_loop"
    DUPLICATE_EDGE = "duplicate_edge"
    CYCLE = "cycle"
    """Nodes that reach themselves along directed relations: kept, since paths never visit a node twice."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken row, or one cycle."""

    kind: FaultKind
    where: str
    """The row, as "source relation target", or the node's id."""
    why: str


def build(nodes: Iterable[Node], edges: Iterable[Edge], schema: Schema) -> tuple[Graph, list[Fault]]:
    """The graph of all sound rows in their order, and a fault for each other row and each cycle."""
    faults: list[Fault] = []
    kept = _sound_nodes(nodes, schema, faults)
    known: set[Edge] = set()
    sound: list[Edge] = []
    for edge in edges:
        fault = _fault_of(edge, kept, known, schema)
        if fault is not None:
            faults.append(Fault(fault[0], " ".join(edge), fault[1]))
            continue
        known.add(edge)
        sound.append(edge)
    faults += [Fault(FaultKind.CYCLE, loop[0], f"{len(loop)} nodes, with {loop[1]}") for loop in cycles(sound, schema)]
    return Graph(kept.values(), sound, schema), faults


def _sound_nodes(nodes: Iterable[Node], schema: Schema, faults: list[Fault]) -> dict[str, Node]:
    kinds = {kind for relation in schema.values() for kind in (relation.source, relation.target)}
    kept: dict[str, Node] = {}
    for node in nodes:
        if node.kind not in kinds:
            faults.append(
                Fault(FaultKind.UNKNOWN_KIND, node.id, f"kind {node.kind!r}, known: {', '.join(sorted(kinds))}")
            )
        elif node.id in kept:
            faults.append(Fault(FaultKind.DUPLICATE_NODE, node.id, f"already named {kept[node.id].name!r}"))
        else:
            kept[node.id] = node
    return kept


def _fault_of(edge: Edge, nodes: Mapping[str, Node], known: set[Edge], schema: Schema) -> tuple[FaultKind, str] | None:
    relation = schema.get(edge.relation)
    if relation is None:
        return FaultKind.UNKNOWN_RELATION, f"relation {edge.relation!r}, known: {', '.join(sorted(schema))}"
    absent = [end for end in (edge.source, edge.target) if end not in nodes]
    if absent:
        return FaultKind.DANGLING, f"no node {absent[0]!r}"
    kinds = nodes[edge.source].kind, nodes[edge.target].kind
    if kinds != (relation.source, relation.target):
        return FaultKind.WRONG_KINDS, f"{edge.relation} joins {relation.source} to {relation.target}, not {kinds}"
    if edge.source == edge.target:
        return FaultKind.SELF_LOOP, "joins a node to itself"
    turned = Edge(edge.target, edge.relation, edge.source)
    if edge in known or (relation.symmetric and turned in known):
        return FaultKind.DUPLICATE_EDGE, "stated before"
    return None


def cycles(edges: Sequence[Edge], schema: Schema) -> list[list[str]]:
    """Groups of nodes that reach one another along directed relations, each sorted: the strongly connected components
    of more than one node. Two passes of a depth-first search on a stack of its own (Kosaraju), linear in the edges."""
    ahead: dict[str, list[str]] = defaultdict(list)
    behind: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        if not schema[edge.relation].symmetric:
            ahead[edge.source].append(edge.target)
            behind[edge.target].append(edge.source)
    seen: set[str] = set()
    order = [node for start in list(ahead) for node in _finished(start, ahead, seen)]
    taken: set[str] = set()
    loops = [sorted(_finished(start, behind, taken)) for start in reversed(order)]
    return sorted(loop for loop in loops if len(loop) > 1)


def _finished(start: str, following: Mapping[str, Sequence[str]], seen: set[str]) -> list[str]:
    """Nodes reached from `start` that were not seen, in the order in which the search leaves them."""
    if start in seen:
        return []
    seen.add(start)
    done: list[str] = []
    stack: list[tuple[str, Iterator[str]]] = [(start, iter(following.get(start, ())))]
    while stack:
        node, others = stack[-1]
        fresh = next((other for other in others if other not in seen), None)
        if fresh is None:
            done.append(node)
            stack.pop()
        else:
            seen.add(fresh)
            stack.append((fresh, iter(following.get(fresh, ()))))
    return done


def report(graph: Graph, faults: Sequence[Fault]) -> list[str]:
    """What the graph holds and what was found in its rows, one line each."""
    kinds = Counter(node.kind for node in graph.nodes.values())
    relations = Counter(edge.relation for edge in graph.edges)
    lines = [
        f"{len(graph.nodes)} nodes: {', '.join(f'{kind} {n}' for kind, n in sorted(kinds.items()))}",
        f"{len(graph.edges)} edges: {', '.join(f'{name} {n}' for name, n in sorted(relations.items()))}",
    ]
    lonely = sum(not graph.degree(node) for node in graph.nodes)
    lines += [f"{lonely} nodes without an edge"] if lonely else []
    for kind in FaultKind:
        found = [fault for fault in faults if fault.kind is kind]
        if found:
            shown = "; ".join(f"{fault.where} ({fault.why})" for fault in found[:SHOWN])
            fate = "kept" if kind is FaultKind.CYCLE else "left out"
            lines.append(f"{len(found)} {kind.value}, {fate}: {shown}{'; ...' if len(found) > SHOWN else ''}")
    return lines


if __name__ == "__main__":
    reader = load_module(Path(__file__).parent / "graph_hetionet.py")
    print("\n".join(reader.checks.report(*reader.load([Path(name) for name in sys.argv[1:]]))))
