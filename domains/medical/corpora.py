"""Readers of medical passages: MedQuAD's answers without their questions, and the chunks of the MedRAG corpora.

Each takes the files of a corpus and gives a `Corpus`; rows that are no passage are set aside with a line each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.retrieval.corpus import BadRow, Corpus, MakePassage, Reason, read_corpus, text_field
from mmreason.retrieval.passages import Passage

_TOLD = ("focus", "qtype", "url", "doc_id", "qid")
_RESTATED = re.compile(r"(?:[^.?!]|\.(?!\s)){1,300}\?\s*")
"""A question at the start; names such as 22q11.2 have full stops inside."""


def medquad(files: Sequence[Path]) -> Corpus:
    """MedQuAD (Ben Abacha and Demner-Fushman 2019): a passage is an answer without its question.

    3,331 of GARD's 4,491 answers begin by asking the question again. That sentence is cut off into the metadata
    (`restated`); the rest is the released text byte for byte. The 13 answers that are nothing else stay whole.
    No title: `focus`, the disease asked about, is most of every question, and stands in the metadata only. Ids are
    doc_id/qid. 8 pairs of them stand for several questions each, 42 in all; the later ones get /2, /3 and so on.
    """
    return read_corpus("medquad", files, _medquad(cut=True))


def medquad_released(files: Sequence[Path]) -> Corpus:
    """As `medquad`, with the answers as they were released: GARD's begin with their question."""
    return read_corpus("medquad_released", files, _medquad(cut=False))


def _medquad(cut: bool) -> MakePassage:
    seen: Counter[str] = Counter()

    def passage(row: Mapping[str, Any]) -> Passage:
        name = f"{text_field(row, 'doc_id')}/{text_field(row, 'qid')}"
        text, source = text_field(row, "answer"), text_field(row, "source")
        seen[name] += 1
        identity = name if seen[name] == 1 else f"{name}/{seen[name]}"
        told = {key: row[key] for key in _TOLD if key in row}
        question = _RESTATED.match(text) if cut and source == "GARD" else None
        if question and text[question.end() :].strip():
            told["restated"], text = question.group(), text[question.end() :]
        return Passage(identity, text, "", f"medquad/{source}", told)

    return passage


def _medrag(source: str, *more: str) -> MakePassage:
    """`content` is the passage; `contents` repeats title and content for the authors' BM25 and is not needed."""

    def passage(row: Mapping[str, Any]) -> Passage:
        identity = row.get("id")
        if not isinstance(identity, str) or not identity.strip():
            raise BadRow(Reason.FIELD, f"field 'id' is {identity!r}, expected text")
        told = {key: row[key] for key in more if key in row}
        return Passage(identity, text_field(row, "content"), text_field(row, "title"), source, told)

    return passage


def textbooks(files: Sequence[Path]) -> Corpus:
    """MedRAG textbooks (arXiv 2402.13178): 18 books in chunks of at most 1,000 characters, one .jsonl a book."""
    return read_corpus("textbooks", files, _medrag("textbooks"))


def statpearls(files: Sequence[Path]) -> Corpus:
    """MedRAG StatPearls: one .jsonl an article, made with the authors' script, as the licence forbids to pass it on."""
    return read_corpus("statpearls", files, _medrag("statpearls"))


def pubmed(files: Sequence[Path]) -> Corpus:
    """MedRAG PubMed: an abstract a row, with its PMID. The whole of it, 23.9 million rows, exceeds most memories."""
    return read_corpus("pubmed", files, _medrag("pubmed", "PMID"))


def wikipedia(files: Sequence[Path]) -> Corpus:
    """MedRAG Wikipedia: articles of 1 March 2022 in chunks of at most 1,000 characters, overlapping by 200."""
    return read_corpus("wikipedia", files, _medrag("wikipedia", "wiki_id"))
