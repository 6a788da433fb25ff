"""How long a sample is for the model that will learn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mmreason.config import Recipe
from mmreason.records import Sample

TURN_OVERHEAD = 8
"""Tokens that a chat template puts around one turn, at most, for the Qwen families."""

Count = Callable[[str], int]


def text_counter(recipe: Recipe, texts: Iterable[str], save: Path) -> Count:
    """Token counts by the recipe's tokenizer; a tiny model's is trained on `texts` here and kept in `save`."""
    if recipe.model.tiny is None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(recipe.model.path)
    else:
        from mmreason.models.tokenizer import train_tokenizer

        tokenizer = train_tokenizer(texts, recipe.model.tiny.vocab)
        tokenizer.save_pretrained(save)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def prompt_tokens(sample: Sample, count: Count) -> int:
    """Upper bound of the prompt's tokens: text, turn marks and the recorded visual tokens."""
    text = sum(count(message.text) + TURN_OVERHEAD for message in sample.prompt)
    return text + TURN_OVERHEAD + sum(reference.tokens for reference in sample.media)


def sequence_tokens(sample: Sample, count: Count) -> int:
    """Prompt and response with its end token."""
    prompt = sample.metadata.get("prompt_tokens") or prompt_tokens(sample, count)
    return int(prompt) + count(sample.response or "") + 1
