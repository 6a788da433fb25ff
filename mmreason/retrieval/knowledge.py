"""Several knowledge bases under names, for a model that chooses which one to ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmreason.errors import UserError, nearest
from mmreason.retrieval.passages import Hit, Retriever


class KnowledgeBases:
    """Name -> retriever, in the order given. An unknown name is refused, never replaced by another base."""

    def __init__(self, bases: Mapping[str, Retriever]) -> None:
        blank = [name for name in bases if not name.strip()]
        if blank or not bases:
            raise UserError(f"found knowledge bases {list(bases)}, expected at least one and a name for each")
        self._bases = dict(bases)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._bases)

    def __contains__(self, name: object) -> bool:
        return name in self._bases

    def __iter__(self) -> Iterator[str]:
        return iter(self._bases)

    def __len__(self) -> int:
        return len(self._bases)

    def __getitem__(self, name: str) -> Retriever:
        """The retriever called `name`. Raises UserError with the nearest name."""
        if name not in self._bases:
            raise UserError(f"no knowledge base {name!r}{nearest(name, self._bases)}")
        return self._bases[name]

    def search(self, name: str, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """Ask one base."""
        return self[name].search(queries, k)

    def search_each(self, asked: Sequence[tuple[str, str]], k: int) -> list[list[Hit]]:
        """Hits of each (base, query), in order; a base is asked once, with all its queries.

        Every name is checked before anything is searched.
        """
        places: dict[str, list[int]] = {}
        for place, (name, _) in enumerate(asked):
            places.setdefault(name, []).append(place)
        retrievers = {name: self[name] for name in places}
        found: list[list[Hit]] = [[] for _ in asked]
        for name, its in places.items():
            for place, hits in zip(its, retrievers[name].search([asked[i][1] for i in its], k), strict=True):
                found[place] = hits
        return found
