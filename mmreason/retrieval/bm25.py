"""BM25 over passages with the bm25s library (arXiv 2407.03618), built once and kept on disk.

The Lucene variant of Kamphuis et al. (ECIR 2020): a query word found tf times in a passage of l words adds
ln(1 + (N - df + 1/2) / (df + 1/2)) * tf / (tf + k1 (1 - b + b l / mean l)). Words, their lower case and stop words are
those of the library's tokenizer; no stemmer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.errors import UserError, require
from mmreason.retrieval.corpus import passages_sha256
from mmreason.retrieval.passages import Hit, Passage, as_hits, check_k, check_passages
from mmreason.retrieval.topk import top_k
from mmreason.run.files import replacing_folder, write_json

EXTRA = "retrieval"
_RECORD = "index.json"


class BM25Settings(Strict):
    """Constants of the score, and which words are passed over."""

    k1: float = Field(default=1.2, gt=0)
    """How fast a repeated word stops counting; Lucene's default."""
    b: float = Field(default=0.75, ge=0, le=1)
    """How much long passages are held back; Lucene's default."""
    stopwords: Literal["english", "english_plus", "none"] = "english"
    """bm25s' list; 'none' for languages without one."""


class BM25:
    """An index in memory; `BM25.open` builds it or loads it. Safe to search from several threads."""

    def __init__(self, passages: Sequence[Passage], index: Any, tokenizer: Any) -> None:
        self.passages, self._index, self._tokenizer = passages, index, tokenizer

    @classmethod
    def build(cls, passages: Sequence[Passage], settings: BM25Settings | None = None) -> BM25:
        """Index the contents (title and text) of `passages`. Raises MissingExtra, and UserError for no passages."""
        check_passages(passages)
        settings = settings or BM25Settings()
        bm25s, tokenizer = _library(), _tokenizer(settings)
        texts = [passage.contents for passage in passages]
        words = tokenizer.tokenize(texts, update_vocab=True, return_as="tuple", show_progress=False)
        index = bm25s.BM25(k1=settings.k1, b=settings.b, method="lucene", backend="numpy")
        index.index(words, show_progress=False)
        return cls(passages, index, tokenizer)

    @classmethod
    def open(cls, passages: Sequence[Passage], folder: Path, settings: BM25Settings | None = None) -> BM25:
        """The index of `passages` from under `folder`, built and saved there first if it is not there.

        Indexes are named by the hash of the passages, the settings and the library's version, so a changed corpus gets
        another. Raises UserError for a damaged index.
        """
        settings = settings or BM25Settings()
        record = _record(passages, settings)
        place = folder / f"bm25-{hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]}"
        if place.is_dir():
            return cls._load(passages, place, settings, record)
        made = cls.build(passages, settings)
        with replacing_folder(place) as beside:
            made._index.save(beside, show_progress=False)
            made._tokenizer.save_vocab(beside)
            write_json(beside / _RECORD, record)
        return made

    @classmethod
    def _load(cls, passages: Sequence[Passage], place: Path, settings: BM25Settings, record: dict[str, Any]) -> BM25:
        tokenizer = _tokenizer(settings)
        try:
            found = json.loads((place / _RECORD).read_text("utf-8"))
            index = _library().BM25.load(place, show_progress=False)
            tokenizer.load_vocab(place)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{place} is not a whole BM25 index ({error}); remove that folder and run again") from error
        if found != record or index.scores["num_docs"] != len(passages):
            raise UserError(f"{place} is the index of another corpus or setting; remove that folder and run again")
        return cls(passages, index, tokenizer)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See `Retriever.search`; passages that share no word with the query are not found."""
        check_k(k)
        # "never": a vocabulary that grew with the queries would name words the index has no column for
        asked = self._tokenizer.tokenize(
            list(queries), update_vocab="never", return_as="ids", show_progress=False, allow_empty=False
        )
        return [self._find(words, k) for words in asked]

    def _find(self, words: list[int], k: int) -> list[Hit]:
        if not words:
            return []
        scores = self._index.get_scores_from_ids(words)
        return as_hits([(self.passages[place], float(scores[place])) for place in top_k(scores, k, above=0.0)])


def _library() -> Any:
    require("bm25s", EXTRA, "search passages by their words")
    import bm25s

    return bm25s


def _tokenizer(settings: BM25Settings) -> Any:
    bm25s = _library()
    return bm25s.tokenization.Tokenizer(stopwords=None if settings.stopwords == "none" else settings.stopwords)


def _record(passages: Sequence[Passage], settings: BM25Settings) -> dict[str, Any]:
    check_passages(passages)
    version = str(_library().__version__)
    return {"passages": passages_sha256(passages), "settings": settings.model_dump(), "bm25s": version}
