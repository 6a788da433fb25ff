"""The option letter that lmms-eval's video tasks read out of an answer."""

from __future__ import annotations

ORIGIN = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/_task_utils/mcq_extract.py@75571cf"

_MARKS = (",", ".", "!", "?", ";", ":", "'", '"')
_PHRASES = (
    *("the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is"),
    *("best answer is", "the correct option is", "correct option is", "the best option is", "best option is"),
    *("the choice is", "choice is", "the correct choice is", "correct choice is", "i choose", "i select", "i pick"),
    *("my answer is", "my choice is", "\uc635\uc158", "\uc815\ub2f5\uc740", "\ub2f5\uc740", "\ub2f5:"),
    *("\u7b54\u6848\u662f", "\u7b54\u6848\u4e3a", "\u9009", "\u7b54\u3048\u306f"),
)
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
"""A letter with a mark, and how much that form is trusted."""
_START, _END, _PHRASE = 10, 9, 7

_Found = tuple[int, int, str]
"""Trust, place, letter."""


def extract(response: str, letters: str = "ABCD") -> str:
    """The letter of the most trusted form, the last of several; empty if none occurs.

    Case counts, words are not respected: any capital of `letters` followed by a blank is a candidate.
    """
    text = response.strip()
    if not text:
        return ""
    for mark in _MARKS:
        text = text.strip(mark)
    text = f" {text} "
    found = [*_in_forms(text, letters), *_after_phrases(text, letters), *_at_edges(text, letters)]
    if not found:
        found = [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    best = max(found, key=lambda one: one[:2], default=None)  # the first of equals, as in the original's stable sort
    return best[2] if best else ""


def _in_forms(text: str, letters: str) -> list[_Found]:
    return [
        (trust, text.rfind(form.format(letter)), letter)
        for form, trust in _FORMS
        for letter in letters
        if form.format(letter) in text
    ]


def _after_phrases(text: str, letters: str) -> list[_Found]:
    """The first occurrence of each letter behind the first occurrence of each phrase, inside words too."""
    lower, found = text.lower(), []
    for phrase in _PHRASES:
        at = lower.find(phrase)
        places = [(text.find(letter, at + len(phrase)), letter) for letter in letters] if at >= 0 else []
        found += [(_PHRASE, place, letter) for place, letter in places if place >= 0]
    return found


def _at_edges(text: str, letters: str) -> list[_Found]:
    bare = text.strip()
    first = [(_START, 0, one) for one in letters if bare.startswith(one) and not bare[1:2].isalpha()]
    last = [(_END, len(text) - 1, one) for one in letters if bare.endswith(one) and not bare[-2:-1].isalpha()]
    return [*first, *last]
