"""Spans, sets of spans and free text: exact after normalisation; overlap measures for reports and judges' absence."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from mmreason.records import Answer, Unread, Verdict

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WRAP = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")
_TOKEN = re.compile(r"[\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af]|[^\W_]+(?:[.,]\d+)*")
_NEGATION = re.compile(r"\b(?:not|no|never|none|neither|nor|without|cannot)\b|n't\b|[不未无没非]")
_ITEMS = re.compile(r"[\n;；、]|,\s+(?!\d{3}\b)|，|\s+(?:and|和)\s+")
NEGATION_CAP = 0.3
"""Largest overlap of two texts of which one is negated and the other is not."""


def normalise(text: str) -> str:
    """NFKC, case-folded, wrappers, articles, punctuation (inner number marks kept) and extra spaces removed."""
    return " ".join(tokens(text)) or _fold(text)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", _WRAP.sub(r"\1", text)).casefold().strip()


def tokens(text: str) -> list[str]:
    """Words and numbers of alphabetic scripts, single characters of Chinese, Japanese and Korean."""
    folded = re.sub(r"(?<=\d),(?=\d{3}\b)", "", _fold(text))
    return _TOKEN.findall(_ARTICLES.sub(" ", folded))


def token_f1(read: str, gold: str) -> float:
    """Bag-of-tokens F1, by characters where the text is Chinese; 0 if either side is empty."""
    said, wanted = tokens(read), tokens(gold)
    return _f1(sum((Counter(said) & Counter(wanted)).values()), len(said), len(wanted))


def _f1(common: int, said: int, wanted: int) -> float:
    return 2 * common / (said + wanted) if common else 0.0


def _ngram_f1(said: list[str], wanted: list[str], n: int) -> float:
    left = Counter(zip(*(said[i:] for i in range(n)), strict=False))
    right = Counter(zip(*(wanted[i:] for i in range(n)), strict=False))
    return _f1(sum((left & right).values()), left.total(), right.total())


def _longest_common(said: Sequence[str], wanted: Sequence[str]) -> int:
    row = [0] * (len(wanted) + 1)
    for token in said:
        before = 0
        for place, other in enumerate(wanted, start=1):
            before, row[place] = row[place], before + 1 if token == other else max(row[place], row[place - 1])
    return row[-1]


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
    parts = [_ngram_f1(said, wanted, 1), _f1(_longest_common(said, wanted), len(said), len(wanted))]
    if min(len(said), len(wanted)) >= 2:
        parts.append(_ngram_f1(said, wanted, 2))
    mean = sum(parts) / len(parts)
    flipped = bool(_NEGATION.search(_fold(read))) != bool(_NEGATION.search(_fold(gold)))
    return min(mean, NEGATION_CAP) if flipped else mean


def items_of(text: str) -> list[str]:
    """Items of a set: a JSON list of strings, else one per line, else parted by ; 、 comma or 'and'."""
    text = text.strip()
    if text.startswith("["):
        try:
            values = json.loads(text)
        except json.JSONDecodeError:
            values = None  # brackets that only decorate the answer
        if isinstance(values, list) and all(isinstance(value, str | int | float) for value in values):
            return [str(value) for value in values]
        text = text.strip("[]")
    lines = [line for line in text.split("\n") if line.strip()]
    return lines if len(lines) > 1 else [item for item in _ITEMS.split(text) if item.strip()]


def grade_span(read: str, answer: Answer) -> Verdict:
    """Right if both texts are equal after `normalise`; the token F1 stands in the reason."""
    gold, said = normalise(answer.gold), normalise(read)
    if not gold:
        return Verdict.no_read(Unread.GOLD, "the gold is empty", read)
    if not said:
        return Verdict.no_read(Unread.PREDICTION, "the answer is empty", read)
    return Verdict.of(gold == said, read, f"exact after normalisation, token F1 {token_f1(read, answer.gold):.2f}")


def grade_set(read: str, answer: Answer) -> Verdict:
    """Right if both hold the same items after `normalise`, order and repeats free. Gold: see `items_of`."""
    gold = {normalise(item) for item in items_of(answer.gold)} - {""}
    said = {normalise(item) for item in items_of(read)} - {""}
    if not gold:
        return Verdict.no_read(Unread.GOLD, "the gold set is empty", read)
    if not said:
        return Verdict.no_read(Unread.PREDICTION, "no item", read)
    whole = normalise(read) == normalise(answer.gold) and "[" not in answer.gold  # one item that holds a comma
    return Verdict.of(whole or gold == said, read, f"{len(gold & said)} of {len(gold)} items, {len(said)} given")


def grade_free(read: str, answer: Answer) -> Verdict:
    """Right only if equal after `normalise`: overlap cannot tell a right paraphrase from a wrong one, a judge can."""
    verdict = grade_span(read, answer)
    if verdict.unread is not None:
        return verdict
    return Verdict.of(verdict.score > 0, read, f"exact after normalisation, overlap {overlap(read, answer.gold):.2f}")
