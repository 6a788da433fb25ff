"""Text as the data steps compare it: normal form, words, shingles, and a sample's question without its context."""

from __future__ import annotations

import re
import unicodedata

from mmreason.records import Sample

_CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:[.,]\d+)*")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*%?")
_LABEL = re.compile(r"^(?:question|q|问题|题目)\s*[:：]\s*", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Lower-cased words and numbers; each CJK character is a word of its own."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def normal(text: str) -> str:
    """The text without case, spacing, width and punctuation (signs and decimal points inside numbers stay)."""
    return " ".join(words(text))


def numbers(text: str) -> tuple[str, ...]:
    """All numbers, sorted, thousands commas removed: questions about other years are other questions."""
    return tuple(sorted(found.replace(",", "") for found in _NUMBER.findall(unicodedata.normalize("NFKC", text))))


def shingles(text: str, size: int) -> frozenset[str]:
    """Runs of `size` words; a text shorter than that is one shingle."""
    found = words(text)
    if len(found) <= size:
        return frozenset([" ".join(found)])
    return frozenset(" ".join(found[start : start + size]) for start in range(len(found) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared share of two sets; two empty sets are equal."""
    return len(a & b) / len(a | b) if a or b else 1.0


def question_of(sample: Sample) -> str:
    """The question without its context: as the reader noted it, else the last line of the user's turn."""
    noted = sample.metadata.get("question")
    if isinstance(noted, str) and noted.strip():
        return noted
    lines = [line for line in sample.question.splitlines() if line.strip()]
    return _LABEL.sub("", lines[-1].strip()) if lines else ""
