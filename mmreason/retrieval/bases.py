"""The knowledge bases of a search environment, opened from its settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mmreason.errors import UserError
from mmreason.retrieval.corpus import Corpus, jsonl_files
from mmreason.retrieval.knowledge import KnowledgeBases
from mmreason.retrieval.make import make_retriever, read_named
from mmreason.retrieval.passages import Retriever
from mmreason.retrieval.search_settings import BaseSettings, SearchSettings
from mmreason.retrieval.written import read_written


def index_root() -> Path:
    """Where indexes are kept: `indexes` under MMREASON_CACHE, else under ~/.cache/mmreason."""
    root = Path(os.environ.get("MMREASON_CACHE") or Path.home() / ".cache" / "mmreason")
    return root.expanduser().absolute() / "indexes"


def open_bases(settings: SearchSettings, readers: Path, data: Path | None) -> KnowledgeBases:
    """Every base under its key. `readers`: folder that readers are relative to; `data`: that of the files.

    A line on stderr says what each base holds. Raises UserError naming a base whose files are absent.
    """
    return KnowledgeBases({name: _open(name, base, readers, data) for name, base in settings.bases.items()})


def _open(name: str, base: BaseSettings, readers: Path, data: Path | None) -> Retriever:
    if base.retrieval.service is not None:
        print(f"knowledge base {name}: asked at {base.retrieval.service.url}", file=sys.stderr)
        return make_retriever((), index_root() / name, base.retrieval)
    corpus = _read(name, base, readers, data)
    print(f"knowledge base {name}: {len(corpus.passages)} passages of {corpus.name}", file=sys.stderr)
    return make_retriever(corpus.passages, index_root(), base.retrieval)


def _read(name: str, base: BaseSettings, readers: Path, data: Path | None) -> Corpus:
    root = data or Path()
    given = [root / file for file in base.files]
    if any(path.exists() for path in given):
        return read_named(base.reader, readers, given)
    made = root / base.made
    if base.made and made.is_file():
        return read_written(jsonl_files(made))
    wanted = " nor ".join([*base.files, *([base.made] if base.made else [])])
    raise UserError(
        f"knowledge base {name}: neither {wanted} under {root.absolute()}; name the data folder (--data), build the "
        f"data first, or give options.search.bases.{name} files or a service"
    )
