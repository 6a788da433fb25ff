"""Reciprocal rank fusion by hand, and several bases under names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmreason.errors import UserError
from mmreason.retrieval.fusion import Fused, FusionSettings, reciprocal_rank
from mmreason.retrieval.knowledge import KnowledgeBases
from mmreason.retrieval.passages import Hit, Passage, as_hits

P = {name: Passage(name, f"text of {name}") for name in "abcd"}


class Fixed:
    """Finds the same passages, in the order given, whatever is asked."""

    def __init__(self, names: str) -> None:
        self.names, self.asked = names, list[tuple[list[str], int]]()

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        self.asked.append((list(queries), k))
        return [as_hits([(P[name], 9.0 - place) for place, name in enumerate(self.names)])[:k] for _ in queries]


def test_fusion_by_hand() -> None:
    """abc and bda: a 1/61 + 1/63, b 1/62 + 1/61, c 1/63, d 1/62."""
    one, two = Fixed("abc"), Fixed("bda")
    (hits,) = Fused([one, two]).search(["x"], 4)
    assert [(hit.passage.id, hit.rank) for hit in hits] == [("b", 1), ("a", 2), ("d", 3), ("c", 4)]
    assert [hit.score for hit in hits] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63])
    assert one.asked == [(["x"], 100)]  # deeper than was asked for


def test_ties_k_and_depth() -> None:
    tied = Fused([Fixed("ab"), Fixed("ba")], FusionSettings(k=1, depth=1))
    ((first, second),) = tied.search(["x"], 2)
    assert (first.passage.id, second.passage.id) == ("a", "b")  # 1/2 + 1/3 each; the first ranking's order stands
    assert first.score == second.score == pytest.approx(1 / 2 + 1 / 3)
    ((only,),) = Fused([Fixed("ab"), Fixed("ba")], FusionSettings(depth=1)).search(["x"], 1)
    assert only.passage.id == "a"
    assert reciprocal_rank([]) == reciprocal_rank([[], []]) == []
    with pytest.raises(UserError, match="no retrievers"):
        Fused([])


def test_bases_by_name() -> None:
    books, tables = Fixed("ab"), Fixed("cd")
    bases = KnowledgeBases({"textbooks": books, "tables": tables})
    assert bases.names == ("textbooks", "tables") and "tables" in bases and "table" not in bases
    found = bases.search_each([("tables", "q1"), ("textbooks", "q2"), ("tables", "q3")], 1)
    assert [hits[0].passage.id for hits in found] == ["c", "a", "c"]
    assert tables.asked == [(["q1", "q3"], 1)] and books.asked == [(["q2"], 1)]
    assert bases.search("textbooks", ["q"], 2)[0][1].passage.id == "b"


def test_unknown_bases_are_refused_before_anything_is_asked() -> None:
    books = Fixed("ab")
    bases = KnowledgeBases({"textbooks": books})
    with pytest.raises(UserError, match=r"no knowledge base 'textbook' \(did you mean 'textbooks'\?\)"):
        bases.search_each([("textbooks", "q"), ("textbook", "q")], 1)
    assert books.asked == []
    for wrong in ({}, {" ": books}):
        with pytest.raises(UserError, match="a name for each"):
            KnowledgeBases(wrong)
