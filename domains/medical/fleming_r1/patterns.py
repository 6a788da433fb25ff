"""Questions as patterns over a graph: a chain of hidden nodes, visible clues at each, and what satisfies them.

A pattern of n blanks asks for the last one. The candidates of a blank are those that its clues and the candidates of
the blank before allow; an item is accepted when every blank has exactly one, so that its answer is the only node of
the graph that satisfies it, by one path alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmreason.project import load_module

graphs = load_module(Path(__file__).parents[1] / "graph.py")
Graph, Edge, inverse = graphs.Graph, graphs.Edge, graphs.inverse


class Clue(NamedTuple):
    """A visible fact about a hidden node: walking `hop` from it leads to `node`."""

    hop: str
    node: str


Clues = Sequence[Sequence[Clue]]
"""One list of clues a blank."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A typed meta-path."""

    name: str
    """What the last blank is called in a question."""
    start: str
    """Kind of the first blank."""
    hops: tuple[str, ...]
    """From each blank to the next."""
    clue_hops: tuple[tuple[str, ...], ...]
    """For each blank the hops that lead to its possible clues."""

    @property
    def length(self) -> int:
        """Hops from the clues to the answer."""
        return len(self.hops) + 1

    def kinds(self, graph: Graph) -> list[str]:
        """Kind of each blank."""
        return [self.start, *(graph.ends(hop)[1] for hop in self.hops)]


HETIONET = (
    Pattern("disease", "Disease", (), (("DpS", "DlA"),)),
    Pattern("compound", "Disease", ("~CtD",), (("DpS", "DlA"), ("~PCiC", "CtD", "CpD"))),
    Pattern("class", "Disease", ("~CtD", "~PCiC"), (("DpS", "DlA"), ("CtD", "CpD"), ("PCiC",))),
)
"""Symptoms and organs to a disease, on to a compound that treats it, on to the class of that compound."""
WORLD = (
    Pattern("disease", "disease", (), (("presents",),)),
    Pattern("test", "disease", ("confirmed",), (("presents",), ())),
    Pattern("treatment", "disease", ("confirmed", "guides"), (("presents",), (), ())),
)
"""Findings to a disease, on to its test, on to the treatment that the test leads to (small-scale check)."""


def satisfying(graph: Graph, clue: Clue) -> frozenset[str]:
    """The nodes of which one clue is true."""
    found: frozenset[str] = graph.neighbours(clue.node, inverse(clue.hop))
    return found


def candidates(graph: Graph, pattern: Pattern, clues: Clues) -> list[frozenset[str]]:
    """For each blank the nodes that satisfy its clues and follow from the blank before."""
    found: list[frozenset[str]] = []
    for place in range(pattern.length):
        sets = [satisfying(graph, clue) for clue in clues[place]]
        if place:
            hop = pattern.hops[place - 1]
            sets.append(frozenset(far for near in found[-1] for far in graph.neighbours(near, hop)))
        found.append(frozenset.intersection(*sets) if sets else frozenset(graph.of_kind(pattern.start)))
    return found


def one_each(graph: Graph, pattern: Pattern, clues: Clues) -> bool:
    """Whether every blank has exactly one candidate."""
    return all(len(found) == 1 for found in candidates(graph, pattern, clues))


class Support(NamedTuple):
    """How near a node comes to being the answer."""

    shared: int
    """Clues that hold along its best path."""
    path: tuple[str, ...]
    """That path, first blank first; shorter than the pattern where the node only shares clues of its own."""


def supported(graph: Graph, pattern: Pattern, clues: Clues) -> dict[str, Support]:
    """Every node that could stand in the last blank and shares a clue, with the path on which it shares most.

    Ties go to the path whose ids come first, so that the outcome depends on nothing else.
    """
    held = Counter(node for clue in clues[0] for node in satisfying(graph, clue))
    layer = {node: Support(count, (node,)) for node, count in held.items()}
    for place, hop in enumerate(pattern.hops, 1):
        own = Counter(node for clue in clues[place] for node in satisfying(graph, clue))
        following = {node: Support(count, (node,)) for node, count in own.items()}
        for near in sorted(layer):
            for far in graph.neighbours(near, hop):
                found = Support(layer[near].shared + own[far], (*layer[near].path, far))
                known = following.get(far)
                if known is None or (-found.shared, -len(found.path), found.path) < (
                    -known.shared,
                    -len(known.path),
                    known.path,
                ):
                    following[far] = found
        layer = following
    return layer


def facts_of(graph: Graph, pattern: Pattern, path: Sequence[str], clues: Clues) -> tuple[list[Edge], list[Edge]]:
    """(path, visible): the hidden edges from blank to blank, and the edges behind the clues."""
    hidden = [graph.edge(near, hop, far) for near, hop, far in zip(path, pattern.hops, path[1:], strict=False)]
    shown = [graph.edge(node, clue.hop, clue.node) for node, own in zip(path, clues, strict=True) for clue in own]
    return hidden, shown
