"""From settings to a retriever: a local index unless a service is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from pydantic import model_validator

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.retrieval.bm25 import BM25, BM25Settings
from mmreason.retrieval.client import HttpRetriever, ServiceSettings
from mmreason.retrieval.corpus import Corpus, jsonl_files
from mmreason.retrieval.dense import Dense, DenseSettings, Encoder
from mmreason.retrieval.fusion import Fused, FusionSettings
from mmreason.retrieval.passages import Passage, Retriever

Kind = Literal["bm25", "dense", "fused"]
KINDS: tuple[str, ...] = get_args(Kind)


class RetrievalSettings(Strict):
    """How passages are found."""

    kind: Kind | Literal["service"] = "bm25"
    """By words, by meaning, by both, or by asking `service`."""
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()
    fusion: FusionSettings = FusionSettings()
    service: ServiceSettings | None = None
    """Address and patience; for kind 'service' only."""

    @model_validator(mode="after")
    def _one_place(self) -> RetrievalSettings:
        if (self.kind == "service") != (self.service is not None):
            raise ValueError("kind 'service' and the settings under service go together; give both or neither")
        return self


def read_named(reader: str, base: Path, where: Sequence[Path]) -> Corpus:
    """The corpus that 'file.py:function', relative to `base`, reads from files or folders of JSON lines."""
    corpus = load_ref(reader, base)([file for path in where for file in jsonl_files(path)])
    if not isinstance(corpus, Corpus):
        raise UserError(f"{reader} gave {type(corpus).__name__}, expected a reader that returns a Corpus")
    return corpus


def local_retriever(
    passages: Sequence[Passage], folder: Path, settings: RetrievalSettings, encoder: Encoder | None = None
) -> Retriever:
    """An index of `passages` in this process, kept under `folder`; `encoder` as for `Dense.open`."""
    if settings.kind == "bm25":
        return BM25.open(passages, folder, settings.bm25)
    if settings.kind == "dense":
        return Dense.open(passages, folder, settings.dense, encoder)
    if settings.kind == "fused":
        words = BM25.open(passages, folder, settings.bm25)
        return Fused([words, Dense.open(passages, folder, settings.dense, encoder)], settings.fusion)
    raise UserError("kind 'service' has no index of its own; use make_retriever, or another kind")


def make_retriever(passages: Sequence[Passage], folder: Path, settings: RetrievalSettings) -> Retriever:
    """What `settings` ask for. A service needs no passages; its answers are cached in `folder`/service.sqlite."""
    if settings.service:
        return HttpRetriever(settings.service, folder / "service.sqlite")
    return local_retriever(passages, folder, settings)
