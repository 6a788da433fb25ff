"""The model a run starts from: a checkpoint by path, or a tiny one built from the run's own texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmreason.config import Recipe
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Sample
from mmreason.run.folder import RunFolder


def _texts(samples: Iterable[Sample]) -> Iterable[str]:
    for sample in samples:
        yield from (message.text for message in sample.messages)
        yield from sample.answer.options.values()


def base_model(recipe: Recipe, folder: RunFolder, samples: Iterable[Sample]) -> str | Path:
    """Path of the base checkpoint; a tiny one is built on first call, its vocabulary learnt from `samples`."""
    if recipe.model.tiny is None:
        assert recipe.model.path is not None
        return recipe.model.path
    path = folder.final("base")
    if not path.is_dir():
        tokenizer = train_tokenizer(_texts(samples), recipe.model.tiny.vocab)
        build_tiny(recipe.model.tiny, tokenizer, recipe.seeds.weights, path)
    return path
