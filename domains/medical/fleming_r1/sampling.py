"""Topological sampling: where a walk begins, the typed walk, the sub-graph around it, and what of it stays visible.

arXiv 2509.15279, 3.1, asks for coherent sub-graphs in which rare entities are favoured; the law, the size of the
sub-graph and the rule against a single telling edge are reconstructed (README).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mmreason.data.selection import weighted
from mmreason.project import load_module

_HERE = Path(__file__).parent
patterns = load_module(_HERE / "patterns.py")
settings = load_module(_HERE / "settings.py")
Clue, Graph, Pattern = patterns.Clue, patterns.Graph, patterns.Pattern
Law, RodsSettings = settings.Law, settings.RodsSettings
LATER_CLUES = 2
"""Most clues to a hidden node after the first [reconstructed]: a question stays readable."""
CHOICES = 8
"""Choices of clues that are tried on one sub-graph [reconstructed]."""


class Refusal(StrEnum):
    """Why a walk gives no item."""

    DEAD_END = "dead_end"
    """It leads nowhere, or back to where it was."""
    FEW_CLUES = "few_clues"
    NOT_UNIQUE = "not_unique"
    """Some hidden node has several candidates."""
    SINGLE_EDGE = "single_edge"
    """One visible edge alone gives a hidden node away."""
    NAMED = "named"
    """The question's text names the answer."""
    REPEATED = "repeated"
    """The same question was asked before."""
    FEW_DISTRACTORS = "few_distractors"


@dataclass(frozen=True, slots=True)
class Masked:
    """A walk with its sub-graph, cut into what is seen and what is asked."""

    pattern: Pattern
    path: tuple[str, ...]
    """The hidden nodes; the last is the answer."""
    clues: tuple[tuple[Clue, ...], ...]
    nodes: tuple[str, ...]
    """The sub-graph's nodes, hidden ones included, sorted."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Where walks of one pattern begin."""

    weights: Mapping[str, float]
    """Node -> its share under the law; they sum to 1."""
    tail: frozenset[str]
    """The rarest of them."""

    @property
    def tail_share(self) -> float:
        """The share of the walks that begin in the tail."""
        return sum(share for node, share in self.weights.items() if node in self.tail)


def anchors(graph: Graph, pattern: Pattern, rods: RodsSettings) -> Anchors:
    """All nodes from which the pattern can be walked, with the law's shares."""
    nodes = [node for node in graph.of_kind(pattern.start) if _walkable(graph, pattern, node)]
    raw = [_weight(graph, node, rods.law) for node in nodes]
    total = math.fsum(raw) or 1.0
    rarest = sorted(nodes, key=lambda node: (graph.frequency(node), node))[: round(len(nodes) * rods.tail_part)]
    return Anchors({node: one / total for node, one in zip(nodes, raw, strict=True)}, frozenset(rarest))


def _walkable(graph: Graph, pattern: Pattern, node: str) -> bool:
    reached = frozenset([node])
    for hop in pattern.hops:
        reached = frozenset(far for near in reached for far in graph.neighbours(near, hop))
    return bool(reached) and any(graph.neighbours(node, hop) for hop in pattern.clue_hops[0])


def _weight(graph: Graph, node: str, law: Law) -> float:
    if law is Law.UNIFORM:
        return 1.0
    return float(graph.frequency(node)) if law is Law.NATURAL else (graph.degree(node) + 1) ** -0.5


def in_tail(slot: int, share: float) -> bool:
    """Whether a slot is one of the tail's: of the first n slots floor(n x share) are, for every n."""
    return math.floor((slot + 1) * share + 1e-9) > math.floor(slot * share + 1e-9)


def draw_anchor(found: Anchors, tail: bool, rng: random.Random) -> str | None:
    """A node of the wanted side by the law; None where that side is empty."""
    side = [node for node in found.weights if (node in found.tail) is tail]
    return rng.choices(side, [found.weights[node] for node in side])[0] if side else None


def walk(graph: Graph, pattern: Pattern, anchor: str, rng: random.Random) -> tuple[str, ...] | None:
    """One node a blank from `anchor`, rare ones favoured at each step; None at a dead end. No node occurs twice."""
    path = [anchor]
    for hop in pattern.hops:
        ahead = sorted(graph.neighbours(path[-1], hop) - set(path))
        if not ahead:
            return None
        path += rng.choices(ahead, [(graph.degree(node) + 1) ** -0.5 for node in ahead])
    return tuple(path)


def surroundings(
    graph: Graph, pattern: Pattern, path: Sequence[str], most: int, rng: random.Random
) -> list[list[Clue]]:
    """For each blank the possible clues that lie in a sub-graph of at most `most` nodes around the path."""
    open_: list[list[Clue]] = []
    for node, hops in zip(path, pattern.clue_hops, strict=True):
        around = [Clue(hop, other) for hop in hops for other in sorted(graph.neighbours(node, hop) - set(path))]
        rng.shuffle(around)
        open_.append(around)
    taken: list[list[Clue]] = [[] for _ in path]
    nodes = set(path)
    while len(nodes) < most and any(open_):
        for place, around in enumerate(open_):
            if around and len(nodes) < most:
                taken[place].append(around.pop())
                nodes.add(taken[place][-1].node)
    return taken


def mask(graph: Graph, pattern: Pattern, anchor: str, rods: RodsSettings, rng: random.Random) -> Masked | Refusal:
    """Walk from `anchor`, take the sub-graph around, and choose visible clues that leave one candidate a blank."""
    path = walk(graph, pattern, anchor, rng)
    if path is None:
        return Refusal.DEAD_END
    around = surroundings(graph, pattern, path, rods.nodes_most, rng)
    if len(around[0]) < rods.clues_least:
        return Refusal.FEW_CLUES
    nodes = tuple(sorted({*path, *(clue.node for own in around for clue in own)}))
    refusal = Refusal.NOT_UNIQUE
    for _ in range(CHOICES):
        clues = _chosen(graph, pattern, path, around, rods, rng)
        if not patterns.one_each(graph, pattern, clues):
            continue
        if not _given_away(graph, clues):
            return Masked(pattern, path, clues, nodes)
        refusal = Refusal.SINGLE_EDGE
    return refusal


def _chosen(
    graph: Graph,
    pattern: Pattern,
    path: Sequence[str],
    around: Sequence[Sequence[Clue]],
    rods: RodsSettings,
    rng: random.Random,
) -> tuple[tuple[Clue, ...], ...]:
    """Clues to the first blank in the wanted number; to a later one as few as make it unique, two at most."""
    count = min(rng.randint(rods.clues_least, rods.clues_most), len(around[0]))
    chosen = [tuple(_drawn(around[0], count, rng))]
    for place in range(1, pattern.length):
        reached = graph.neighbours(path[place - 1], pattern.hops[place - 1])
        own: tuple[Clue, ...] = ()
        for clue in _drawn(around[place], LATER_CLUES, rng):
            if len(reached) == 1:
                break
            left = reached & patterns.satisfying(graph, clue)
            if left != reached:
                own, reached = (*own, clue), left
        chosen.append(own)
    return tuple(chosen)


def _drawn(around: Sequence[Clue], count: int, rng: random.Random) -> list[Clue]:
    """`count` clues without repetition, each hop and node at most once."""
    keys = [f"{clue.hop} {clue.node}" for clue in around]
    by_key = dict(zip(keys, around, strict=True))
    return [by_key[key] for key in weighted(keys, [1.0] * len(keys), count, rng)]


def _given_away(graph: Graph, clues: Sequence[Sequence[Clue]]) -> bool:
    return any(len(patterns.satisfying(graph, clue)) == 1 for own in clues for clue in own)
