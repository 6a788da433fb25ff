"""Multiple choice: the set of option letters, never letters that merely occur in a text."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.judgement import polarity

_WRAP = re.compile(r"\\(?:TEXT|TEXTBF|TEXTIT|MATHRM|MATHBF|MATHSF|MBOX|RM)\s*\{([^{}]*)\}", re.IGNORECASE)
_SEPARATORS = r"[\s,、;&.()\[\]{}$*和与及]*"
_LETTERS_ONLY = re.compile(rf"{_SEPARATORS}[A-Z](?:{_SEPARATORS}[A-Z])*{_SEPARATORS}。?")
_AND = re.compile(r"\bAND\b")
_LETTER = re.compile(r"[A-Z]")
_HEDGE = re.compile(r"\(?\b[A-Z]\b\)?\s*(?:\bOR\b|或|/|\|)\s*(?:者\s*)?\(?\b[A-Z]\b", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:(?:THE\s+)?(?:CORRECT\s+)?(?:FINAL\s+)?(?:ANSWER|OPTION|CHOICE)(?:\s+IS)?|答案|选项?|选择)\s*[:是为]?\s*(?=[(\[]?[A-Z](?![A-Z]))"
)
_LEADING = re.compile(r"[(\[]?([A-Z])(?:[)\]][.、:,]?|[.、:])\s*(.+)", re.DOTALL)
_SPACED = re.compile(r"([A-Z])\s+(.+)", re.DOTALL)
_MARKED = re.compile(r"(?<![A-Z])[A-Z]\s*[.)、:]")
_ANY_LETTERS = frozenset("ABCDEFGHIJ")


def squash(text: str) -> str:
    """Half-width, upper-case, wrappers, spaces and closing punctuation removed: for comparing option texts."""
    return "".join(_tidy(text).split()).rstrip(".。;,")


_squash_option = lru_cache(maxsize=65536)(squash)


def _tidy(text: str) -> str:
    text = _WRAP.sub(r"\1", text) if "\\" in text else text
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).upper().strip().strip("*$").strip()


def read_letters(text: str, options: dict[str, str]) -> frozenset[str] | None:
    """The option letters that `text` states, None if it states none or cannot be trusted.

    Letters and separators only; else one leading letter with a mark or followed by its own option text; else the
    whole text of exactly one option; else, for a right/wrong item, any wording of right or wrong.
    """
    if text in options and len(text) == 1:
        return frozenset(text)
    text = _tidy(text)
    known = frozenset(options) if options else _ANY_LETTERS
    unlabelled = _LABEL.sub("", text, count=1)
    for bare in (text, unlabelled) if unlabelled != text else (text,):
        letters = _only_letters(bare)
        if letters and letters <= known:
            return letters
    if _HEDGE.search(unlabelled):
        return _by_text(text, options)
    return _by_lead(unlabelled, options, known) or _by_text(text, options)


def _only_letters(text: str) -> frozenset[str] | None:
    bare = _AND.sub(" ", text) if "AND" in text else text
    return frozenset(_LETTER.findall(bare)) if _LETTERS_ONLY.fullmatch(bare) else None


def _by_lead(text: str, options: dict[str, str], known: frozenset[str]) -> frozenset[str] | None:
    for pattern in (_LEADING, _SPACED):
        match = pattern.fullmatch(text)
        if match is None or match.group(1) not in known:
            continue
        letter, rest = match.groups()
        said = squash(rest)
        same = {key for key, option in options.items() if _squash_option(option) == said}
        if letter in same:
            return frozenset(letter)
        if not same and pattern is _LEADING and not _names_another(rest, letter, known):
            return frozenset(letter)
        if not same and not options and not rest[0].isascii():
            return frozenset(letter)
    return None


def _names_another(rest: str, letter: str, known: frozenset[str]) -> bool:
    return any(mark[0] in known and mark[0] != letter for mark in _MARKED.findall(rest))


def _by_text(text: str, options: dict[str, str]) -> frozenset[str] | None:
    whole = squash(text)
    same = [letter for letter, option in options.items() if _squash_option(option) == whole]
    if len(same) == 1:
        return frozenset(same)
    said = polarity(text)
    sides = {letter: polarity(option) for letter, option in options.items()}
    if said is None or sorted(map(str, sides.values())) != ["False", "True"]:
        return None
    return frozenset(letter for letter, side in sides.items() if side is said)


def grade_choice(read: str, answer: Answer) -> Verdict:
    """Exact set of letters, no partial credit; for multi-answer items each line (box) adds its letters."""
    gold = read_letters(answer.gold, answer.options) if answer.gold.strip() else None
    if not gold:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold!r} names no option of this item", read)
    said: frozenset[str] = frozenset()
    for line in read.splitlines() if answer.multi or len(gold) > 1 else [read]:
        letters = read_letters(line, answer.options)
        if letters is None:
            return Verdict.no_read(Unread.PREDICTION, f"expected option letters, found {read!r}", read)
        said |= letters
    if not said:
        return Verdict.no_read(Unread.PREDICTION, "no option letter", read)
    return Verdict.of(said == gold, read, f"{''.join(sorted(said))} against {''.join(sorted(gold))}")
