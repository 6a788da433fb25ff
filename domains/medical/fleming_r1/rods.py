"""RODS, reasoning-oriented data synthesis: questions cut from a knowledge graph, each with the facts it rests on.

Readers of sources.yaml: `hetionet` over released tables, `world` over a made-up graph, `world_facts` for what a model
must know of that. Every slot gives one question or one drop, and depends on the seed, the split and its number alone
(but for questions asked before). arXiv 2509.15279, section 3.1; what is reconstructed: README.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from mmreason.config.strict import validate
from mmreason.data.step import Drop, ReadRequest
from mmreason.data.text import normal
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

_HERE = Path(__file__).parent
hetionet_tables = load_module(_HERE.parent / "graph_hetionet.py")
worlds = load_module(_HERE.parent / "graph_world.py")
patterns = load_module(_HERE / "patterns.py")
settings = load_module(_HERE / "settings.py")
sampling = load_module(_HERE / "sampling.py")
distractors = load_module(_HERE / "distractors.py")
wording = load_module(_HERE / "wording.py")
tiers = load_module(_HERE / "tiers.py")
Graph, Pattern = patterns.Graph, patterns.Pattern
Book, Form, RodsSettings = settings.Book, settings.Form, settings.RodsSettings
Refusal, WorldSettings = sampling.Refusal, worlds.WorldSettings


@dataclass(frozen=True, slots=True)
class Item:
    """One accepted question before it is put into words."""

    masked: sampling.Masked
    options: tuple[distractors.Rival, ...]
    """In the order shown."""
    text: str
    tail: bool

    @property
    def gold(self) -> int:
        """Place of the answer among the options."""
        return [rival.node for rival in self.options].index(self.masked.path[-1])


class World(WorldSettings, RodsSettings):
    """Options of a source over the made-up world."""


def hetionet(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Reader: questions over Hetionet's tables; a drop for each faulty row of them, and for each slot without one."""
    rods = validate(RodsSettings, request.options, f"source {request.name}")
    if rods.form is not Form.LETTERS or rods.book is not Book.CLOSED:
        raise UserError(f"source {request.name}: form and book are of the made-up world; leave them out here")
    graph, faults = hetionet_tables.load(request.files)
    for number, fault in enumerate(faults):
        if fault.kind is not hetionet_tables.checks.FaultKind.CYCLE:
            yield Drop(f"{request.name}-fault{number}", "graph", fault.kind.value, f"{fault.where}: {fault.why}")
    yield from samples(request, graph, patterns.HETIONET, rods)


def world(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Reader: questions over the made-up world, the same world for every split."""
    rods = validate(World, request.options, f"source {request.name}")
    yield from samples(request, worlds.make(_world_of(rods)), patterns.WORLD, rods)


def _world_of(rods: World) -> WorldSettings:
    """The part of the options that makes the graph."""
    return WorldSettings(**{name: getattr(rods, name) for name in WorldSettings.model_fields})


class Facts(WorldSettings):
    """Options of `world_facts`."""

    items: int = 2000


def world_facts(request: ReadRequest) -> Iterator[Sample]:
    """Reader: what the world says of a disease or a test, drawn as often as diseases occur; free text, never in RL.

    Every node is told once, then diseases by Zipf's law, so that a model knows common ones better, as the small-scale
    check wants.
    """
    own = validate(Facts, request.options, f"source {request.name}")
    graph = worlds.make(_world_of(own))
    rng = random.Random(f"facts:{request.seed}:{request.split}")
    once = [node for node in graph.nodes if wording.facts(graph, node)]
    diseases = graph.of_kind("disease")
    more = rng.choices(diseases, [graph.frequency(node) for node in diseases], k=max(0, own.items - len(once)))
    for number, node in enumerate([*once, *more][: own.items]):
        told = wording.facts(graph, node).split()[1:]
        yield Sample(
            id=f"{request.name}-{request.split}-{number:05d}",
            source=Source(
                request.name, request.split, request.entry.licence, f"{number:05d}", f"{request.name}-{node}"
            ),
            messages=(Message.of(Role.USER, f"facts : {node}"),),
            answer=Answer(AnswerKind.FREE, told[0]),
            evidence={"trace": f"<think> {node} {' '.join(told)}</think><answer> {told[0]}</answer>"},
            metadata={"family": "facts", "node": node},
        )


def samples(
    request: ReadRequest, graph: Graph, all_patterns: Sequence[Pattern], rods: RodsSettings
) -> Iterator[Sample | Drop]:
    """One sample or drop a slot."""
    for number, (item, refused) in enumerate(items(graph, all_patterns, rods, f"{request.split}:{request.seed}")):
        name = f"{request.split}-{request.seed}-{number:05d}"
        if item is None:
            detail = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items()))
            reason = max(sorted(refused), key=lambda key: refused[key]) if refused else Refusal.DEAD_END.value
            yield Drop(f"{request.name}-{name}", "rods", reason, detail)
        else:
            yield sample_of(request, graph, item, name, rods).with_meta(refused=dict(sorted(refused.items())))


def items(
    graph: Graph, all_patterns: Sequence[Pattern], rods: RodsSettings, seed: str
) -> Iterator[tuple[Item | None, Counter[str]]]:
    """For each slot its item, None where no walk served, and the walks refused before by reason.

    Lengths come in turns; inside one length the tail gets exactly its share of the slots. With a tier, all kinds of
    item that are of it come in turns. Raises UserError for a
    length without a pattern.
    """
    kinds = [(length, None) for length in rods.hops] if rods.tier is None else tiers.kinds(rods.tier, rods.hops)
    wanted = [_pattern_of(all_patterns, length) for length, _ in kinds]
    begins = [sampling.anchors(graph, pattern, rods) for pattern in wanted]
    asked: set[str] = set()
    for slot in range(rods.items):
        turn, place = divmod(slot, len(kinds))
        share = begins[place].tail_share if rods.tail_share is None else rods.tail_share
        only = kinds[place][1]
        tail = sampling.in_tail(turn, share) if only is None else only
        rng = random.Random(f"{seed}:{slot}")
        refused: Counter[str] = Counter()
        item: Item | None = None
        while item is None and refused.total() < rods.tries:
            made = _item(graph, wanted[place], begins[place], tail, rods, rng)
            if isinstance(made, Item) and normal(made.text) in asked:
                made = Refusal.REPEATED
            if isinstance(made, Item):
                item = made
                asked.add(normal(item.text))
            else:
                refused[made.value] += 1
        yield item, refused


def _pattern_of(all_patterns: Sequence[Pattern], length: int) -> Pattern:
    for pattern in all_patterns:
        if pattern.length == length:
            return pattern
    known = ", ".join(str(pattern.length) for pattern in all_patterns)
    raise UserError(f"hops: no path of {length} steps over this graph, known: {known}")


def _item(
    graph: Graph, pattern: Pattern, begins: sampling.Anchors, tail: bool, rods: RodsSettings, rng: random.Random
) -> Item | Refusal:
    anchor = sampling.draw_anchor(begins, tail, rng)
    masked = Refusal.DEAD_END if anchor is None else sampling.mask(graph, pattern, anchor, rods, rng)
    if isinstance(masked, Refusal):
        return masked
    near = distractors.rivals(graph, masked, rods.options - 1, rng)
    if len(near) < rods.options - 1 or (rods.strict and near[-1].shared < rods.shared_least):
        return Refusal.FEW_DISTRACTORS
    options = [distractors.own_rival(graph, masked), *near]
    rng.shuffle(options)
    if pattern in patterns.WORLD:
        words, open_ = rods.form is Form.WORDS, rods.book is Book.OPEN
        return Item(masked, tuple(options), wording.short(graph, masked, options, rng, words=words, open_=open_), tail)
    text = wording.question(graph, masked, rng)
    named = f" {normal(graph.nodes[masked.path[-1]].name)} " in f" {normal(text)} "
    return Refusal.NAMED if named else Item(masked, tuple(options), text, tail)


def sample_of(request: ReadRequest, graph: Graph, item: Item, name: str, rods: RodsSettings) -> Sample:
    """The item as a sample; its metadata tell the path, the visible facts and every option's standing.

    What is asked about the same clues counts as one document, whatever the options and their order: no such question
    of a test stays in training.
    """
    masked = item.masked
    names = [graph.nodes[rival.node].name for rival in item.options]
    options = dict(zip(ascii_uppercase, names, strict=False))
    answer = (
        Answer(AnswerKind.CHOICE, ascii_uppercase[item.gold], options)
        if rods.form is Form.LETTERS
        else Answer(AnswerKind.SPAN, names[item.gold])
    )
    path, visible = patterns.facts_of(graph, masked.pattern, masked.path, masked.clues)
    asked = [masked.pattern.name, *sorted(clue.node for own in masked.clues for clue in own)]
    return Sample(
        id=f"{request.name}-{name}",
        source=Source(request.name, request.split, request.entry.licence, name, f"{request.name}-{_digest(asked)}"),
        messages=(Message.of(Role.USER, item.text),),
        answer=answer,
        metadata={
            "question": item.text,
            "family": f"{masked.pattern.length}hop",
            "hops": masked.pattern.length,
            "asks": masked.pattern.name,
            "made_up": masked.pattern in patterns.WORLD,
            "tail": item.tail,
            "tier": tiers.by_rule(masked.pattern.length, item.tail).value,
            "tier_by": "rule",
            "lang": "en",
            "graph_id": _digest([*masked.nodes, *(" ".join(edge) for edge in graph.among(masked.nodes))]),
            "path": [list(edge) for edge in path],
            "visible": [list(edge) for edge in visible],
            "masked_nodes": list(masked.path),
            "clues": [[graph.nodes[clue.node].name for clue in own] for own in masked.clues],
            "options": [_told(graph, rival) for rival in item.options],
            "distractors_below": sum(rival.shared < rods.shared_least for rival in item.options),
        },
    )


def _told(graph: Graph, rival: distractors.Rival) -> dict[str, Any]:
    return {
        "node": rival.node,
        "names": [graph.nodes[node].name for node in rival.path],
        "shared": rival.shared,
        "holds": [list(own) for own in rival.holds],
    }


def _digest(lines: Sequence[str]) -> str:
    """Names a sub-graph by its nodes and induced edges, a question by its clues."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
