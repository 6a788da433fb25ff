"""What is searched and what is found: passages, hits, and the one protocol of all retrievers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmreason.errors import UserError


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage of a corpus. `text` is the released text byte for byte: nothing is trimmed or normalised."""

    id: str
    text: str
    title: str = ""
    source: str = ""
    """The corpus or the collection in it, for evidence weights and routing."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def contents(self) -> str:
        """What is indexed: the title, where there is one, before the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Hit:
    """One found passage. `rank` counts from 1; scores of different retrievers have different units."""

    passage: Passage
    score: float
    rank: int


class Retriever(Protocol):
    """Anything that finds passages: BM25, dense vectors, a fusion of both, a service."""

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """At most `k` hits for each query, best first; equal scores stand in corpus order.

        A query without words finds nothing. Raises UserError where `k` is below 1.
        """
        ...


def check_k(k: int) -> None:
    """Raise UserError unless `k` is a number of hits that can be asked for."""
    if k < 1:
        raise UserError(f"found k = {k} hits a query, expected at least 1; set k to 1 or more")


def check_passages(passages: Sequence[Passage]) -> None:
    """Raise UserError where there is nothing to index."""
    if not passages:
        raise UserError("found no passages, expected at least one to index; give a corpus with texts")


def as_hits(found: Sequence[tuple[Passage, float]]) -> list[Hit]:
    """Hits from (passage, score), best first."""
    return [Hit(passage, score, rank) for rank, (passage, score) in enumerate(found, start=1)]
