"""BM25 against its formula worked out by hand, ties, words nobody wrote, and the index on disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bm25s", reason="pip install 'mmreason[retrieval]'")

from mmreason.errors import UserError
from mmreason.retrieval.bm25 import BM25, BM25Settings
from mmreason.retrieval.passages import Passage
from mmreason.retrieval.topk import top_k

THREE = [
    Passage("one", "fever cough fever"),
    Passage("two", "Cough, and the rash!"),  # 'and' and 'the' are stop words
    Passage("three", "bone marrow biopsy results", title="Marrow"),
]


def test_scores_are_those_of_the_formula() -> None:
    """Lengths 3, 2, 5, mean 10/3. 'fever' is in one passage of three, 'cough' in two."""
    k1, b, mean = 1.2, 0.75, 10 / 3
    rare, common = math.log(1 + 2.5 / 1.5), math.log(1 + 1.5 / 2.5)

    def weight(count: int, length: int) -> float:
        return count / (count + k1 * (1 - b + b * length / mean))

    found = BM25.build(THREE).search(["Fever, cough?", "marrow", "nothing known", "the and", ""], 3)
    assert [hit.passage.id for hit in found[0]] == ["one", "two"]  # 'three' shares no word
    assert found[0][0].score == pytest.approx(rare * weight(2, 3) + common * weight(1, 3), rel=1e-6)
    assert found[0][1].score == pytest.approx(common * weight(1, 2), rel=1e-6)
    assert [hit.rank for hit in found[0]] == [1, 2]
    (marrow,) = found[1]
    assert marrow.passage is THREE[2]
    assert marrow.score == pytest.approx(rare * weight(2, 5), rel=1e-6)  # once in the title, once in the text
    assert found[2] == found[3] == found[4] == []


def test_equal_scores_stand_in_corpus_order_and_k_bounds_them() -> None:
    same = [Passage(str(number), "same words here") for number in range(50)]
    index = BM25.build(same)
    assert [hit.passage.id for hit in index.search(["same"], 7)[0]] == [str(number) for number in range(7)]
    assert len(index.search(["words"], 1000)[0]) == 50
    with pytest.raises(UserError, match="k = 0"):
        index.search(["same"], 0)


def test_top_k_is_a_stable_sort() -> None:
    noise = np.random.default_rng(0)
    for size in (1, 5, 200):
        scores = noise.integers(0, 6, size).astype(np.float32)
        whole = np.argsort(-scores, kind="stable")
        for k in (1, 3, size, size + 4):
            assert top_k(scores, k).tolist() == whole[:k].tolist()
            above = [place for place in whole if scores[place] > 2][:k]
            assert top_k(scores, k, above=2).tolist() == above


def test_searching_does_not_change_what_is_found_later() -> None:
    index = BM25.build(THREE)
    before = index.search(["cough rash"], 3)
    index.search(["words that no passage has"], 3)
    assert index.search(["that has", "cough rash"], 3) == [[], before[0]]


def test_the_index_is_built_once_and_loaded_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = BM25.open(THREE, tmp_path).search(["cough fever marrow"], 3)
    (place,) = tmp_path.iterdir()

    def refuse(*_: object) -> BM25:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(BM25, "build", refuse)
        assert BM25.open(THREE, tmp_path).search(["cough fever marrow"], 3) == built
    BM25.open(THREE, tmp_path, BM25Settings(k1=0.9))
    BM25.open(THREE[:2], tmp_path)
    assert len(list(tmp_path.iterdir())) == 3  # other settings, another corpus
    (place / "vocab.tokenizer.json").write_text('{"word_to')
    with pytest.raises(UserError, match=r"not a whole BM25 index.*remove that folder"):
        BM25.open(THREE, tmp_path)


def test_stop_words_can_be_kept_and_no_passages_are_refused() -> None:
    kept = BM25.build(THREE, BM25Settings(stopwords="none"))
    assert [hit.passage.id for hit in kept.search(["the"], 3)[0]] == ["two"]
    assert BM25.build([Passage("x", "the and of"), Passage("y", "...")]).search(["the", "word"], 2) == [[], []]
    with pytest.raises(UserError, match="no passages"):
        BM25.build([])
