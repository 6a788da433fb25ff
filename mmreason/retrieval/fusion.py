"""Several rankings as one: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.retrieval.passages import Hit, Passage, Retriever, as_hits, check_k


class FusionSettings(Strict):
    """Constants of the fusion."""

    k: float = Field(default=60.0, gt=0)
    """Added to every rank: 60 in Cormack et al. (2009)."""
    depth: int = Field(default=100, ge=1)
    """Hits taken from each retriever. [reconstructed: deep enough that a passage both find lowly still counts]"""


def reciprocal_rank(rankings: Sequence[Sequence[Hit]], k: float = 60.0) -> list[Hit]:
    """Each passage scores the sum over rankings of 1 / (k + rank), rank from 1; absent from a ranking adds nothing.

    Passages are told apart by id. Equal scores stand by their best rank, then by the order of the rankings.
    """
    passages: dict[str, Passage] = {}
    scores: dict[str, float] = {}
    best: dict[str, int] = {}
    for ranking in rankings:
        for hit in ranking:
            name = hit.passage.id
            passages.setdefault(name, hit.passage)
            scores[name] = scores.get(name, 0.0) + 1.0 / (k + hit.rank)
            best[name] = min(best.get(name, hit.rank), hit.rank)
    order = sorted(scores, key=lambda name: (-scores[name], best[name]))  # stable: first ranking first
    return as_hits([(passages[name], scores[name]) for name in order])


class Fused:
    """Retrievers over one corpus, or over several with ids that differ, answering as one."""

    def __init__(self, retrievers: Sequence[Retriever], settings: FusionSettings | None = None) -> None:
        if not retrievers:
            raise UserError("found no retrievers to fuse, expected at least one; name bm25, dense or both")
        self.retrievers, self.settings = tuple(retrievers), settings or FusionSettings()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See `Retriever.search`; scores are sums of reciprocal ranks."""
        check_k(k)
        depth = max(k, self.settings.depth)
        found = [retriever.search(queries, depth) for retriever in self.retrievers]
        return [reciprocal_rank(rankings, self.settings.k)[:k] for rankings in zip(*found, strict=True)]
