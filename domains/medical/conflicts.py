"""Answers that say the opposite in nearly the same words: another side, a negation more or less, another number.

Overlap and embeddings hardly see these (all-MiniLM-L6-v2 gives "left lung" and "right lung" a cosine of 0.92), so a
reward of similarity is capped where `conflicts` finds one. The rules are reconstructed for ARMed (arXiv 2508.12957)
and MedCCO (arXiv 2505.19213), whose papers name the weakness or were asked about it, and state no guard. They only
look for what contradicts: an answer that leaves the side or the number out is incomplete, and overlap sees that.
"""

from __future__ import annotations

import re
from enum import StrEnum

from mmreason.rewards.words import fold, tokens

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
DIGITS = {word: str(value) for value, word in enumerate(_NUMBERS)}
"""Number word -> digits."""

_SIDES: dict[str, frozenset[str]] = {
    **dict.fromkeys(("left", "lt", "leftward", "leftsided", "\u5de6"), frozenset({"left"})),
    **dict.fromkeys(("right", "rt", "rightward", "rightsided", "\u53f3"), frozenset({"right"})),
    **dict.fromkeys(("both", "bilateral", "bilaterally", "\u53cc", "\u4e24"), frozenset({"left", "right"})),
}
_OTHER_SIDE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
_SIDE = re.compile(r"\b(?:left|right)(?=\b|sided|ward)", re.IGNORECASE)
_JOINING = frozenset(("side", "sided", "of", "and", "or", "in", "on", "at", "to", "is"))
_CLAUSE = re.compile(r"[,;.\uff0c\uff1b\u3002]")
_NO_ABNORMALITY = re.compile(r"\b(?:no|not|without)\s+(?:an?\s+|any\s+|evidence of\s+)*abnormal\w*")
_NOT_NORMAL = re.compile(r"\bnot\s+normal\b")
_NEGATION = re.compile(
    r"\b(?:no|not|none|never|neither|nor|without|cannot|absent|absence|denies)\b|\bfree of\b|n't\b"
    r"|[\u4e0d\u672a\u65e0\u6ca1\u975e\u5426]"
)
_OPPOSITES = (
    (re.compile(r"\bnormal\b"), re.compile(r"\babnormal\w*")),
    (re.compile(r"\bpositive\b"), re.compile(r"\bnegative\b")),
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class Conflict(StrEnum):
    """In what an answer contradicts its reference."""

    LATERALITY = "laterality"
    """It names a side that the reference does not, or the same sides on each other's structures."""
    NEGATION = "negation"
    """One of the two is negated, or they are normal and abnormal, positive and negative."""
    NUMBER = "number"
    """Both hold numbers, and not the same ones."""


def plain_words(text: str) -> list[str]:
    """Tokens for comparison: NFKC, lower case, no punctuation at the ends, no articles, number words as digits."""
    return [DIGITS.get(word, word) for word in tokens(text)]


def conflicts(said: str, gold: str) -> frozenset[Conflict]:
    """In what `said` contradicts `gold`; empty where both are equal or only one speaks of it."""
    found = {
        Conflict.LATERALITY: _sides_conflict(said, gold),
        Conflict.NEGATION: _negation_conflict(said, gold),
        Conflict.NUMBER: _numbers_conflict(said, gold),
    }
    return frozenset(kind for kind, holds in found.items() if holds)


def swap_sides(text: str) -> str:
    """The text with left and right in each other's place."""
    return _SIDE.sub(lambda match: _OTHER_SIDE.get(match.group(), match.group()), text)


def has_side(text: str) -> bool:
    """Whether the text says left or right."""
    return _SIDE.search(text) is not None


def _sides_conflict(said: str, gold: str) -> bool:
    """Sides named in one and not in the other, or sides that change places between structures both name."""
    mine, theirs = _placed_sides(said), _placed_sides(gold)
    all_mine, all_theirs = frozenset().union(*mine.values()), frozenset().union(*theirs.values())
    if not all_theirs or not all_mine:
        return False
    if not all_mine <= all_theirs:
        return True
    shared = (mine.keys() & theirs.keys()) - {""}
    return any(not mine[noun] & theirs[noun] for noun in shared)


def _placed_sides(text: str) -> dict[str, frozenset[str]]:
    """Structure -> sides said of it: each side belongs to the next word of its clause that is none, "" without one."""
    placed: dict[str, frozenset[str]] = {}
    for clause in _CLAUSE.split(fold(text).replace("-", " ")):
        words = tokens(clause)
        for place, word in enumerate(words):
            if word in _SIDES:
                after = (w for w in words[place + 1 :] if w not in _SIDES and w not in _JOINING)
                noun = next(after, "")
                placed[noun] = placed.get(noun, frozenset()) | _SIDES[word]
    return placed


def _negation_conflict(said: str, gold: str) -> bool:
    mine, theirs = _unfolded(said), _unfolded(gold)
    if bool(_NEGATION.search(mine)) != bool(_NEGATION.search(theirs)):
        return True
    for one, other in _OPPOSITES:
        if _only(one, other, mine) and _only(other, one, theirs):
            return True
        if _only(other, one, mine) and _only(one, other, theirs):
            return True
    return False


def _unfolded(text: str) -> str:
    """Two negations that say the same as a plain word, put as that word."""
    return _NOT_NORMAL.sub("abnormal", _NO_ABNORMALITY.sub("normal", fold(text)))


def _only(wanted: re.Pattern[str], unwanted: re.Pattern[str], text: str) -> bool:
    return bool(wanted.search(text)) and not unwanted.search(text)


def _numbers_conflict(said: str, gold: str) -> bool:
    """Digits inside words count: T1 against T2, L4 against L5."""
    mine = {float(one) for word in plain_words(said) for one in _NUMBER.findall(word)}
    theirs = {float(one) for word in plain_words(gold) for one in _NUMBER.findall(word)}
    return bool(mine) and bool(theirs) and mine != theirs
