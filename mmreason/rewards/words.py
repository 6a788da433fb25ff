"""Words of free text: one folding and one division into tokens for comparison and for every overlap measure."""

from __future__ import annotations

import re
import unicodedata

from mmreason.records import Answer

CJK = "\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af"
"""Character ranges of Chinese, Japanese and Korean, for use inside a regular expression's brackets."""
ALSO = "also"
"""Key of `Answer.aliases` under which spans, free text and OCR list further golds."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WRAP = re.compile(r"\\(?:text|textbf|mathrm|mbox)\s*\{([^{}]*)\}")
_TOKEN = re.compile(rf"[{CJK}]|[^\W_]+(?:[.,]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_HAS_CJK = re.compile(f"[{CJK}]")


def fold(text: str) -> str:
    """NFKC, case-folded, LaTeX text wrappers removed."""
    return unicodedata.normalize("NFKC", _WRAP.sub(r"\1", text)).casefold().strip()


def tokens(text: str) -> list[str]:
    """Words and numbers of alphabetic scripts, single characters of Chinese, Japanese and Korean; no articles."""
    return _TOKEN.findall(_ARTICLES.sub(" ", _THOUSANDS.sub("", fold(text))))


def normalise(text: str) -> str:
    """NFKC, case-folded, wrappers, articles, punctuation (inner number marks kept) and extra spaces removed."""
    return " ".join(tokens(text)) or fold(text)


def has_cjk(text: str) -> bool:
    """Whether any Chinese, Japanese or Korean character occurs."""
    return _HAS_CJK.search(text) is not None


def golds_of(answer: Answer) -> list[str]:
    """The gold and the further golds listed under `ALSO`."""
    return [answer.gold, *answer.aliases.get(ALSO, ())]
