"""What models behind endpoints say of an answer: its score, and the graph of its thought."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.config.parts import Endpoint
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.project import load_module
from mmreason.records import Sample

graphs = load_module(Path(__file__).parent / "graphs.py")

_SCORE = """You judge the answer to a medical question by its reference. Reply with one JSON object and nothing else:
{"score": 0, 1 or 2}
2: it means the same as the reference and holds no wrong option. 1: it is right but broader than the reference. 0: all
else, also where several answers are given."""
_GRAPH = """You turn a piece of medical reasoning into a knowledge graph. Reply with one JSON object and nothing else:
{"triples": [["one", "relation", "other"], ...]}
Entities are concrete medical concepts, synonyms merged. Relations are verbs from the first to the second. Keep
negations in the relation; mark what is only supposed; write durations as acute or chronic, chances as high, medium or
low."""


@functools.cache
def _chat(endpoint: str, role: str) -> Chat:
    root = Path(os.environ.get("MMREASON_CACHE") or Path.home() / ".cache" / "mmreason").expanduser()
    root.mkdir(parents=True, exist_ok=True)
    return Chat(Endpoint.model_validate_json(endpoint), root / f"med_r3_{role}.sqlite", role=f"med-r3 {role}")


def score(endpoint: Endpoint, sample: Sample, answer: str) -> int:
    """0, 1 or 2; a reply that cannot be read in three tries is a 0 [code]."""
    wrong = "; ".join(text for letter, text in sample.answer.options.items() if letter != sample.answer.gold)
    fields = {"Question": sample.question, "Reference": _gold(sample), "Answer": answer}
    fields |= {"Wrong options": sample.metadata.get("wrong_options") or wrong or "(none)"}
    said = ask_object(_chat(endpoint.model_dump_json(), "judge"), _asked(_SCORE, fields), {"score": int})
    return min(max(int(said["score"]), 0), 2) if said else 0


def graph_of(
    endpoint: Endpoint, thought: str, references: Sequence[frozenset[graphs.Triple]] = ()
) -> frozenset[graphs.Triple]:
    """The triples of a thought; none where the reply cannot be read. With `references` their terms are preferred."""
    fields = {"Reasoning": thought}
    terms = sorted({term for graph in references for triple in graph for term in triple})
    if terms:
        fields["Terms to prefer"] = "; ".join(terms)
    said = ask_object(_chat(endpoint.model_dump_json(), "extractor"), _asked(_GRAPH, fields), {"triples": list})
    rows = said["triples"] if said else []
    found: frozenset[Any] = graphs.triples(row for row in rows if isinstance(row, list))
    return found


def _gold(sample: Sample) -> str:
    return sample.answer.options.get(sample.answer.gold, sample.answer.gold)


def _asked(task: str, fields: dict[str, str]) -> list[dict[str, str]]:
    text = "\n\n".join(f"## {title}\n{value}" for title, value in fields.items())
    return [{"role": "system", "content": task}, {"role": "user", "content": text}]
