"""Text read from pictures: credit by character edits."""

from __future__ import annotations

import re
import unicodedata

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.words import CJK, golds_of

_SPACES = re.compile(r"\s+")
_BESIDE_CJK = re.compile(rf"(?<=[{CJK}])\s+(?=[{CJK}])")


def plain_characters(text: str) -> str:
    """NFKC, case-folded, runs of white space as one space, none between Chinese, Japanese or Korean characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _BESIDE_CJK.sub("", _SPACES.sub(" ", folded).strip())


def edit_distance(read: str, gold: str) -> int:
    """Fewest insertions, deletions and substitutions; bit-parallel (Myers 1999, Hyyro 2003), so that long texts end."""
    if not gold:
        return len(read)
    places: dict[str, int] = {}
    for place, char in enumerate(gold):
        places[char] = places.get(char, 0) | 1 << place
    mask, last = (1 << len(gold)) - 1, 1 << (len(gold) - 1)
    up, down, distance = mask, 0, len(gold)  # vertical differences of +1 and -1 in the current column
    for char in read:
        same = places.get(char, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = down | (~(diagonal | up) & mask), up & diagonal
        distance += bool(right & last) - bool(left & last)
        right, left = right << 1 | 1, left << 1
        up, down = (left | ~(same | down | right)) & mask, right & (same | down) & mask
    return distance


def character_error_rate(read: str, gold: str) -> float:
    """Character edits over characters of the gold, both through `plain_characters`; may pass 1. Gold must hold some.

    Characters, not words: Chinese text has no spaces and would count as one word. Raises ValueError for an empty gold.
    """
    wanted = plain_characters(gold)
    if not wanted:
        raise ValueError("the character error rate needs a gold with characters")
    return edit_distance(plain_characters(read), wanted) / len(wanted)


def grade_ocr(read: str, answer: Answer) -> Verdict:
    """Right if equal in `plain_characters` (`Answer.threshold` lowers that); credit 1 - character error rate, >= 0."""
    golds = [gold for gold in golds_of(answer) if plain_characters(gold)]
    if not plain_characters(answer.gold):
        return Verdict.no_read(Unread.GOLD, "the gold is empty", read)
    if not plain_characters(read):
        return Verdict.no_read(Unread.PREDICTION, "the answer is empty", read)
    error = min(character_error_rate(read, gold) for gold in golds)
    threshold = 1.0 if answer.threshold is None else answer.threshold
    return Verdict.graded(max(0.0, 1.0 - error), threshold, read, f"character error rate {error:.3f}")
