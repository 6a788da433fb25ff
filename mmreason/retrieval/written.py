"""Passages on disk in a form of our own, one JSON object a line: what a made-up world writes and a search reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.retrieval.corpus import Corpus, read_corpus, text_field
from mmreason.retrieval.passages import Passage
from mmreason.run.files import write_text


def write_passages(path: Path, passages: Sequence[Passage]) -> None:
    """One line a passage; whole or not at all."""
    rows = [{"id": p.id, "text": p.text, "title": p.title, "source": p.source, **_told(p)} for p in passages]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows))


def read_written(files: Sequence[Path]) -> Corpus:
    """What `write_passages` wrote."""
    return read_corpus(files[0].stem if files else "written", files, _passage)


def _told(passage: Passage) -> dict[str, Any]:
    return {"metadata": dict(passage.metadata)} if passage.metadata else {}


def _passage(row: Mapping[str, Any]) -> Passage:
    title, source = str(row.get("title", "")), str(row.get("source", ""))
    return Passage(text_field(row, "id"), text_field(row, "text"), title, source, row.get("metadata", {}))
