"""Real medical questions over two bases: what a compound treats stands in a table of Hetionet, what is known of a
disease in MedQuAD's passages.

    table          Which disease is treated by NAME?
    text           a question of MedQuAD about a disease of the graph
    table, text    the same question about "the disease treated by NAME"

A compound is asked about only where the table has one disease for it. The answer of a text question is the first
sentence of the released answer. Diseases are parted between training and test by their name, with all their questions.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.data.lines import read_rows
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.retrieval.corpus import Corpus, CorpusReport
from mmreason.retrieval.passages import Passage

_HERE = Path(__file__).parent
hetionet = load_module(_HERE.parent / "graph_hetionet.py")
world = load_module(_HERE / "world.py")

TREATS = "CtD"
_SENTENCE = re.compile(r".+?[.!?](?=\s|$)", re.DOTALL)
_PARTS = 10


class MedicalSettings(Strict):
    """Options of the source."""

    questions: int = Field(default=400, ge=1)
    test_share: float = Field(default=0.3, gt=0, lt=1)
    """Of the diseases, in tenths."""
    most_words: int = Field(default=40, ge=1)
    """Longer first sentences are no answer to grade by."""


def table(files: Sequence[Path]) -> Corpus:
    """The table base: nodes.tsv and edges.tsv -> one row a treatment, "hydroxyurea | treats | sickle cell anemia"."""
    passages = tuple(
        Passage(f"{compound}/{disease}", _row(compound, disease), source="hetionet")
        for compound, disease in _treats(files)
    )
    return Corpus("hetionet_table", passages, CorpusReport(len(passages), len(passages)))


def _treats(files: Sequence[Path]) -> list[tuple[str, str]]:
    """(compound, disease) by name."""
    if len(files) != 2:
        raise UserError(f"the table of treatments takes nodes.tsv and edges.tsv, found {len(files)} files")
    names = {row["id"]: row["name"] for row in hetionet.rows(files[0], ("id", "name", "kind"))}
    edges = hetionet.rows(files[1], ("source", "metaedge", "target"))
    return [
        (names[edge["source"]], names[edge["target"]])
        for edge in edges
        if edge["metaedge"] == TREATS and {edge["source"], edge["target"]} <= names.keys()
    ]


def _row(compound: str, disease: str) -> str:
    return f"{compound} | treats | {disease}"


def questions(request: ReadRequest) -> Iterator[Sample]:
    """Reader: files nodes.tsv, edges.tsv and medquad.jsonl.gz. Each kind of solution in turns, as long as it lasts."""
    own = validate(MedicalSettings, request.options, f"source {request.name}")
    pairs = _treats(request.files[:2])
    lone = {compound: disease for compound, disease in pairs if sum(compound == other for other, _ in pairs) == 1}
    known = _asked(request.files[2], {disease.lower() for _, disease in pairs}, own)
    chains = _chains(lone, known)
    wanted = request.split == "test"
    rng = random.Random(f"{request.seed}:{request.split}:medical")
    kinds = [[chain for chain in kind if _in_test(chain, own) == wanted] for kind in chains]
    left = [rng.sample(kind, len(kind)) for kind in kinds]
    turns = itertools.cycle(left)
    for number in range(min(own.questions, sum(map(len, left)))):
        yield _sample(request, next(kind for kind in turns if kind).pop(), number)


def _asked(path: Path, diseases: set[str], own: MedicalSettings) -> dict[str, list[tuple[str, str]]]:
    """Disease -> (question, first sentence of its answer) where the focus is the disease."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in read_rows(path):
        focus = str(row.values.get("focus") or "").lower()
        sentence = _SENTENCE.match(row.need("answer", str).strip()) if focus in diseases else None
        if sentence and len(sentence.group().split()) <= own.most_words:
            found.setdefault(focus, []).append((row.need("question", str).strip(), sentence.group().strip()))
    return found


def _chains(lone: dict[str, str], known: dict[str, list[tuple[str, str]]]) -> list[list[dict[str, Any]]]:
    """By kind (table, text, both): {question, disease, chain}."""
    by_table = [_table_hop(compound, disease) for compound, disease in sorted(lone.items())]
    first = [{"question": hop["query"], "disease": hop["object"], "chain": [hop]} for hop in by_table]
    text = [
        {"question": question, "disease": disease, "chain": [_text_hop(question, answer)]}
        for disease, asked in sorted(known.items())
        for question, answer in asked
    ]
    both = []
    for hop in by_table:
        for question, answer in known.get(hop["object"].lower(), []):
            named = re.compile(re.escape(hop["object"]), re.IGNORECASE)
            if named.search(question):
                put = named.sub(lambda _, hop=hop: f"the disease treated by {hop['subject']}", question)
                chain = [hop, _text_hop(question, answer)]
                both.append({"question": put, "disease": hop["object"], "chain": chain})
    return [first, text, both]


def _table_hop(compound: str, disease: str) -> dict[str, Any]:
    query = f"Which disease is treated by {compound}?"
    told = _row(compound, disease)
    return {
        "relation": "treats",
        "query": query,
        "base": world.TABLE,
        "subject": compound,
        "object": disease,
        "told": told,
    }


def _text_hop(question: str, answer: str) -> dict[str, Any]:
    return {"relation": "told", "query": question, "base": world.TEXT, "subject": "", "object": answer, "told": answer}


def _in_test(found: dict[str, Any], own: MedicalSettings) -> bool:
    digest = hashlib.sha256(found["disease"].lower().encode()).hexdigest()
    return int(digest, 16) % _PARTS < round(own.test_share * _PARTS)


def _sample(request: ReadRequest, found: dict[str, Any], number: int) -> Sample:
    name = f"{request.split}-{number:05d}"
    chain, gold = found["chain"], found["chain"][-1]["object"]
    kind = AnswerKind.SPAN if len(gold.split()) <= 8 else AnswerKind.FREE
    return Sample(
        id=f"{request.name}-{name}",
        source=Source(request.name, request.split, request.entry.licence, name, found["disease"]),
        messages=(Message.of(Role.USER, found["question"]),),
        answer=Answer(kind, gold),
        metadata={
            "question": found["question"],
            "hops": len(chain),
            "bases": [hop["base"] for hop in chain],
            "first_base": chain[0]["base"],
            "golds": [gold],
            "chain": chain,
        },
    )
