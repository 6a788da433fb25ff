"""ROUGE as the package `rouge` computes it by default: over DISTINCT n-grams, and sentences cut at every period."""

from __future__ import annotations

from collections.abc import Sequence

_SMALL = 1e-8


def _f(common: int, said: int, wanted: int) -> float:
    precision, recall = common / said if said else 0.0, common / wanted if wanted else 0.0
    return 2.0 * precision * recall / (precision + recall + _SMALL)


def _sentences(text: str) -> list[list[str]]:
    """Sentences as words; a part of spaces alone keeps one empty word, as in the original."""
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _grams(sentences: Sequence[Sequence[str]], n: int) -> set[tuple[str, ...]]:
    words = [word for sentence in sentences for word in sentence]
    return set(zip(*(words[place:] for place in range(n)), strict=False))


def _common_words(wanted: Sequence[str], said: Sequence[str]) -> set[str]:
    """The words of one longest common subsequence, the one that the original's way back through the table finds."""
    table = [[0] * (len(said) + 1) for _ in range(len(wanted) + 1)]
    for i, word in enumerate(wanted, start=1):
        for j, other in enumerate(said, start=1):
            table[i][j] = table[i - 1][j - 1] + 1 if word == other else max(table[i - 1][j], table[i][j - 1])
    found, i, j = set(), len(wanted), len(said)
    while i and j:
        if wanted[i - 1] == said[j - 1]:
            found.add(wanted[i - 1])
            i, j = i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def rouge_sets(said: str, wanted: str) -> dict[str, float]:
    """F of ROUGE-1, -2 and summary-level -L under "rouge1", "rouge2", "rougel", on lower-case texts that have words."""
    ours, theirs = _sentences(said.lower()), _sentences(wanted.lower())
    found = {}
    for n in (1, 2):
        left, right = _grams(ours, n), _grams(theirs, n)
        found[f"rouge{n}"] = _f(len(left & right), len(left), len(right))
    union = {word for one in theirs for other in ours for word in _common_words(one, other)}
    found["rougel"] = _f(len(union), len(_grams(ours, 1)), len(_grams(theirs, 1)))
    return found
