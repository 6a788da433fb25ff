"""An item in words: plain English over a released graph, a few tokens over the made-up world.

Wordings are ours; which of several a question gets is drawn with the item. All names come from the graph.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.project import load_module

_HERE = Path(__file__).parent
patterns = load_module(_HERE / "patterns.py")
sampling = load_module(_HERE / "sampling.py")
distractors = load_module(_HERE / "distractors.py")
Graph, Masked, Rival = patterns.Graph, sampling.Masked, distractors.Rival

PHRASES = {
    ("Disease", "DpS"): ("presents with {}", "shows {}", "is seen with {}"),
    ("Disease", "DlA"): ("affects the {}", "involves the {}", "is located in the {}"),
    ("Compound", "~PCiC"): ("belongs to the class {}", "counts among {}"),
    ("Compound", "CtD"): ("also treats {}", "is also given against {}"),
    ("Compound", "CpD"): ("also relieves {}", "is also used to palliate {}"),
    ("Pharmacologic Class", "PCiC"): ("also includes {}", "{} belongs to it as well"),
}
"""(kind of the hidden node, hop to the clue) -> wordings."""
OPENINGS = ("A disease {}.", "A patient has a disease that {}.", "Consider a disease that {}.")
LINKS = {
    "~CtD": ("It is treated with a certain compound.", "There is a compound against it."),
}
"""What is told of the way from one hidden node to a hidden node between."""
ASKS = {
    "disease": ("Which disease is it?", "What is the disease?"),
    "compound": ("Which compound is used to treat it?", "What compound treats it?"),
    "class": (
        "To which pharmacologic class does that compound belong?",
        "Which pharmacologic class includes that compound?",
    ),
}


def question(graph: Graph, item: Masked, rng: random.Random) -> str:
    """The stem: what is told of the first hidden node, of those on the way, and what is asked."""
    kinds = item.pattern.kinds(graph)
    told = [rng.choice(OPENINGS).format(_clauses(graph, kinds[0], item.clues[0], rng))]
    for hop in item.pattern.hops[:-1]:
        told.append(rng.choice(LINKS[hop]))
    last = item.pattern.length - 1
    for place in range(1, last):
        if item.clues[place]:
            told.append(f"That {kinds[place].lower()} {_clauses(graph, kinds[place], item.clues[place], rng)}.")
    asked = rng.choice(ASKS[item.pattern.name])
    if last and item.clues[last]:
        noun = item.pattern.name
        told.append(f"The {noun} that is asked for: {_clauses(graph, kinds[last], item.clues[last], rng)}.")
    return " ".join([*told, asked])


def _clauses(graph: Graph, kind: str, clues: Sequence[patterns.Clue], rng: random.Random) -> str:
    """All clues of one hidden node, those of one hop in one clause."""
    clauses = []
    for hop in dict.fromkeys(clue.hop for clue in clues):
        names = [graph.nodes[clue.node].name for clue in clues if clue.hop == hop]
        clauses.append(rng.choice(PHRASES[kind, hop]).format(listed(names)))
    return listed(clauses)


def listed(parts: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def short(graph: Graph, item: Masked, options: Sequence[Rival], rng: random.Random, *, words: bool, open_: bool) -> str:
    """The stem over the made-up world: "test : fba fcz faa", with `words` the options after it, " ? taa tbc", with
    `open_` what the graph says of each option's path before it, in random order. All names but those that begin a line
    stand behind a space, which makes each one token wherever it is."""
    stem = f"{item.pattern.name} : {' '.join(clue.node for clue in item.clues[0])}"
    if words:
        stem += f" ? {' '.join(rival.node for rival in options)}"
    if not open_:
        return stem
    lines = list(dict.fromkeys(line for rival in options for line in known(graph, rival.path)))
    rng.shuffle(lines)
    return "\n".join([*lines, stem])


def known(graph: Graph, path: Sequence[str]) -> list[str]:
    """What the made-up world says of the nodes of a path: "daq tbd fad fav", "tbd raj"."""
    return [line for line in (facts(graph, node) for node in path) if line]


def facts(graph: Graph, node: str) -> str:
    """One node with all that it leads to, the next step of a path before the findings; empty where it leads nowhere."""
    ahead = [other for relation in reversed(graph.schema) for other in sorted(graph.neighbours(node, relation))]
    return " ".join([node, *ahead]) if ahead else ""
