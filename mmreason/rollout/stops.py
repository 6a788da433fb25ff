"""Texts that end an answer: which token completes one.

An answer is cut at tokens, never inside one: the ids that are trained are the ids that were produced. Where the token
that completes a stop text holds more ("</search>" within a token ">\\n"), the rest of that token stays in the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from transformers import PreTrainedTokenizerBase

_BROKEN = "\ufffd"
"""What a part of a character decodes to."""
_MARGIN = 8
"""Further tokens that are decoded before those that may hold a stop text, for tokenizers that trim what comes first."""


class Stops:
    """Stop texts for one tokenizer. Special tokens count as their text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._tokenizer = tokenizer
        self._window = max(len(text.encode()) for text in texts) + _MARGIN  # a token has a byte at least

    def reached(self, ids: Sequence[int]) -> bool:
        """Whether the last of `ids` completes a stop text; those before it completed none."""
        return self._holds(ids[-self._window :])

    def length(self, ids: Sequence[int]) -> int | None:
        """How many of `ids` there are up to the token that completes the first stop text; None where none is."""
        if not self._holds(ids):
            return None
        low, high = 0, len(ids)  # the first `low` hold none, the first `high` do
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._holds(ids[:middle]) else (middle, high)
        return high

    def candidates(self, size: int) -> torch.Tensor:
        """bool [size]: ids that may complete a stop text, as they hold the last character of one."""
        return _holding(self._tokenizer, frozenset(text[-1] for text in self.texts), size)

    def _holds(self, ids: Sequence[int]) -> bool:
        text = _text(self._tokenizer, ids)
        return any(stop in text for stop in self.texts)


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


@lru_cache(maxsize=16)
def _holding(tokenizer: PreTrainedTokenizerBase, last: frozenset[str], size: int) -> torch.Tensor:
    """Ids whose text has one of these characters, or a part of a character."""
    wanted = (*last, _BROKEN)
    known = len(tokenizer)
    return torch.tensor(
        [number >= known or any(char in _text(tokenizer, [number]) for char in wanted) for number in range(size)]
    )
