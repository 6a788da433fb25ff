"""How much two texts share: token precision and recall, ROUGE, BLEU, and the guarded mean that free text gets.

All are pure functions of two texts. None of them decides what is right: overlap cannot tell a right paraphrase from
a wrong one, which is why `text.grade_free` only reports it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mmreason.rewards.words import fold, has_cjk, tokens

NEGATION_CAP = 0.3
"""Largest `overlap` of two texts of which one is negated and the other is not."""

_NEGATION = re.compile(r"\b(?:not|no|never|none|neither|nor|without|cannot)\b|n't\b|[不未无没非]")


@dataclass(frozen=True, slots=True)
class Shares:
    """Common tokens as shares of the prediction (precision), of the gold (recall), and their harmonic mean."""

    precision: float
    recall: float
    f1: float


def token_shares(read: str, gold: str) -> Shares:
    """Multiset overlap of `tokens`: each token counts as often as both sides have it. 0 if either side is empty."""
    said, wanted = tokens(read), tokens(gold)
    common = (Counter(said) & Counter(wanted)).total()
    if not common:
        return Shares(0.0, 0.0, 0.0)
    return Shares(common / len(said), common / len(wanted), f1(common, len(said), len(wanted)))


def token_f1(read: str, gold: str) -> float:
    """F1 of `token_shares`."""
    return token_shares(read, gold).f1


def f1(common: int, said: int, wanted: int) -> float:
    """Harmonic mean of common/said and common/wanted; 0 without common elements."""
    return 2 * common / (said + wanted) if common else 0.0


def ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """The n-grams of a token list with their counts."""
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def ngram_f1(said: Sequence[str], wanted: Sequence[str], n: int) -> float:
    """F1 over n-grams (ROUGE-n)."""
    left, right = ngrams(said, n), ngrams(wanted, n)
    return f1((left & right).total(), left.total(), right.total())


def longest_common(said: Sequence[Hashable], wanted: Sequence[Hashable]) -> int:
    """Length of the longest common subsequence; bit-parallel (Hyyro 2004), so that two long texts end soon."""
    places: dict[Hashable, int] = {}
    for place, token in enumerate(wanted):
        places[token] = places.get(token, 0) | 1 << place
    mask = (1 << len(wanted)) - 1
    free = mask  # zero bits mark the places of a best match
    for token in said:
        hit = free & places.get(token, 0)
        free = ((free + hit) | (free - hit)) & mask
    return len(wanted) - free.bit_count()


def lcs_f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """F1 of the longest common subsequence (ROUGE-L)."""
    return f1(longest_common(said, wanted), len(said), len(wanted))


def overlap(read: str, gold: str) -> float:
    """Mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L over `tokens`, in [0, 1].

    Equal texts give 1; ROUGE-2 enters only if both sides have two tokens; if one side is negated and the other is
    not the result is at most `NEGATION_CAP`.
    """
    said, wanted = tokens(read), tokens(gold)
    if not said or not wanted:
        return 0.0
    if said == wanted:
        return 1.0
    parts = [ngram_f1(said, wanted, 1), lcs_f1(said, wanted)]
    if min(len(said), len(wanted)) >= 2:
        parts.append(ngram_f1(said, wanted, 2))
    mean = sum(parts) / len(parts)
    flipped = bool(_NEGATION.search(fold(read))) != bool(_NEGATION.search(fold(gold)))
    return min(mean, NEGATION_CAP) if flipped else mean


@cache
def _stemming() -> Any:
    from rouge_score.tokenizers import DefaultTokenizer

    return DefaultTokenizer(use_stemmer=True)


def rouge(read: str, gold: str) -> dict[str, float]:
    """F1 of ROUGE-1, -2 and -L under the keys "rouge1", "rouge2", "rougeL".

    English: words and Porter stems of the rouge-score library, so the figures are that library's. That tokenizer
    drops all but ASCII and gives Chinese exact matches 0, so texts with Chinese, Japanese or Korean characters use
    `tokens`. Raises MissingExtra for English without the library.
    """
    cut = tokens if has_cjk(read + gold) else _stemming().tokenize
    said, wanted = cut(read), cut(gold)
    return {
        "rouge1": ngram_f1(said, wanted, 1),
        "rouge2": ngram_f1(said, wanted, 2),
        "rougeL": lcs_f1(said, wanted),
    }


def bleu(read: str, golds: Sequence[str], n: int = 4) -> float:
    """Sentence BLEU-n over `tokens` (Papineni et al. 2002), uniform weights, no smoothing, in [0, 1].

    Clipped n-gram precisions against the best of the golds; brevity penalty against the gold nearest in length (the
    shorter of two as near). Written out here because sacrebleu and nltk cut Chinese into other tokens, and smooth
    by default, which pays answers that share no n-gram.
    """
    said, references = tokens(read), [tokens(gold) for gold in golds]
    logs = 0.0
    for order in range(1, n + 1):
        grams, allowed = ngrams(said, order), Counter[tuple[str, ...]]()
        for reference in references:
            allowed |= ngrams(reference, order)
        common = (grams & allowed).total()
        if not common:
            return 0.0
        logs += math.log(common / grams.total()) / n
    length = min((len(reference) for reference in references), key=lambda size: (abs(size - len(said)), size))
    return math.exp(logs + min(0.0, 1 - length / len(said)))
