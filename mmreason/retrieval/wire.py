"""The format of a search service, as Search-R1 (arXiv 2503.09516, search_r1/search) and its relatives settled it.

Asked: {"queries": [text], "topk": n, "return_scores": bool}. Answered: {"result": [[{"document": {...}, "score": x}]]},
a list for each query; without scores the documents alone. A document has `contents`, the title in quotes on the first
line and the text behind it, which is all that other clients and services know; ours adds the passage's own fields, so
that a text comes back byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmreason.data.lines import describe
from mmreason.retrieval.passages import Hit, Passage

MAX_QUERIES = 4096
MAX_K = 1000


class BadWire(Exception):
    """A request or an answer that is not of this format; the text says where."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    queries: list[str]
    k: int
    with_scores: bool

    def body(self) -> dict[str, Any]:
        """The request as sent."""
        return {"queries": self.queries, "topk": self.k, "return_scores": self.with_scores}


def read_asked(body: Any, default_k: int) -> Asked:
    """A request from JSON. Raises BadWire."""
    if not isinstance(body, dict):
        raise BadWire(f"found {describe(body)}, expected an object with queries, topk and return_scores")
    queries, k = body.get("queries"), body.get("topk")
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise BadWire(f"queries is {describe(queries)}, expected a list of texts")
    if len(queries) > MAX_QUERIES:
        raise BadWire(f"found {len(queries)} queries, expected at most {MAX_QUERIES}; send them in several requests")
    k = default_k if k is None else k
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MAX_K:
        raise BadWire(f"topk is {describe(k)}, expected a whole number from 1 to {MAX_K}")
    return Asked(queries, k, body.get("return_scores") is True)


def written(found: Sequence[Sequence[Hit]], with_scores: bool) -> dict[str, Any]:
    """The answer as sent."""
    documents = [[(_document(hit.passage), hit.score) for hit in hits] for hits in found]
    if with_scores:
        return {"result": [[{"document": document, "score": score} for document, score in row] for row in documents]}
    return {"result": [[document for document, _ in row] for row in documents]}


def _document(passage: Passage) -> dict[str, Any]:
    fields = {"id": passage.id, "title": passage.title, "text": passage.text, "source": passage.source}
    return fields | {"metadata": dict(passage.metadata), "contents": f'"{passage.title}"\n{passage.text}'}


def read_result(body: Any, count: int, k: int) -> list[list[Hit]]:
    """Hits of `count` queries from an answer with scores, at most `k` each. Raises BadWire."""
    rows = body.get("result") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(rows) != count or not all(isinstance(row, list) for row in rows):
        raise BadWire(f"found {describe(body)}, expected 'result' with a list for each of {count} queries")
    return [[_hit(item, rank) for rank, item in enumerate(row[:k], start=1)] for row in rows]


def _hit(item: Any, rank: int) -> Hit:
    if not isinstance(item, dict) or not isinstance(item.get("document"), dict):
        raise BadWire(f"found the hit {describe(item)}, expected an object with document and score")
    score = item.get("score")
    if not isinstance(score, int | float) or isinstance(score, bool):
        raise BadWire(f"a score is {describe(score)}, expected a number")
    return Hit(read_document(item["document"]), float(score), rank)


def read_document(document: dict[str, Any]) -> Passage:
    """A passage from a document: our own fields, or another service's `contents` taken apart. Raises BadWire."""
    text, title, contents = document.get("text"), document.get("title", ""), document.get("contents")
    if text is None and isinstance(contents, str):
        first, line_end, rest = contents.partition("\n")
        text, title = (rest, title or first.strip().strip('"')) if line_end else (contents, title)
    if not isinstance(text, str) or not isinstance(title, str):
        raise BadWire(f"found the document {describe(document)}, expected text or contents")
    source, metadata = document.get("source", ""), document.get("metadata", {})
    if not isinstance(source, str) or not isinstance(metadata, dict):
        raise BadWire(f"a document's source is {describe(source)} and its metadata {describe(metadata)}")
    return Passage(str(document.get("id", "")), text, title, source, metadata)
