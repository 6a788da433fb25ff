"""Mathematical answers: exact rules first, then math-verify in a worker process under one hard deadline."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.math_limits import refuse
from mmreason.rewards.math_normal import (
    brackets,
    normalise,
    plain_ratio,
    split_top,
    split_unit,
    squeeze,
    to_rational,
    words_of,
)
from mmreason.rewards.math_pool import JobTimeout, shared_pool

SECONDS = 5.0
"""One deadline for all parsing and comparing of one answer, however many elements it has."""
CACHED = 16_384
LONGEST_TEXT = 2_000
"""Characters of an answer that are read; beyond `math_limits.LONGEST` only equal texts are right."""
DECIMALS = 6
"""Correct decimals that a decimal needs to stand for an exact value."""

_RELATION = re.compile(r"[<>]|\\(?:le|ge|lt|gt|ne|neq)(?![a-zA-Z])")
_ASSIGN = re.compile(r"[a-zA-Z](?:_\{?\w+\}?)?(?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))\s*(?=\S)")
_BASE = re.compile(r"([0-9A-F]+)\s*_\s*\{?\s*(\d+)\s*\}?")
_RATIO = re.compile(r"[^:\\]+:[^:\\]+(?::[^:\\]+)*")
_PERCENT = re.compile(r"\s*\\?%$|\s*\\text\{\s*percent\s*\}$")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![a-zA-Z])")
_UNORDERED = ("", "{")


class _Unreadable(Exception):
    """One side cannot be parsed; carries which."""

    def __init__(self, side: Unread, why: str) -> None:
        super().__init__(why)
        self.side = side


@dataclass(slots=True)
class _Budget:
    """What is left of `SECONDS` for one answer; only time at work in a worker is charged."""

    left: float = SECONDS


_verdicts: dict[tuple[str, str], bool] = {}
"""(gold, read) -> equal. Timeouts are not kept: they depend on the machine's load."""


def _symbolic(gold: str, read: str, budget: _Budget) -> bool:
    """math-verify's verdict."""
    known = _verdicts.get((gold, read))
    if known is not None:
        return known
    for side, latex in ((Unread.GOLD, gold), (Unread.PREDICTION, read)):
        why = refuse(latex)
        if why is not None:
            raise _Unreadable(side, why)
    if budget.left <= 0:
        raise JobTimeout(f"no verdict within {SECONDS:g} s")
    reply = shared_pool().run({"gold": gold, "read": read}, budget.left)
    budget.left -= reply["seconds"]
    if "unread" in reply:
        raise _Unreadable(Unread(reply["unread"]), reply.get("error", "no expression could be parsed"))
    if len(_verdicts) >= CACHED:
        _verdicts.clear()
    _verdicts[gold, read] = bool(reply["equal"])
    return bool(reply["equal"])


def _same_rational(gold: str, read: str) -> bool | None:
    left, right = to_rational(gold), to_rational(read)
    if left is None or right is None:
        return None
    decimals = right[1] or 0
    if left[1] is None and decimals >= DECIMALS and left[0].denominator != 1:
        return abs(left[0] - right[0]) < Fraction(1, 10**DECIMALS)
    return left[0] == right[0]


def _same_scalar(gold: str, read: str, budget: _Budget) -> bool:
    """One element against one element."""
    gold, read = _strip_assignment(gold, read), _strip_assignment(read, gold)
    if squeeze(gold) == squeeze(read):
        return True
    exact = _same_rational(gold, read)
    if exact is not None:
        return exact
    left, right = words_of(gold), words_of(read)
    if (left and right) or len(left or right or "") > 1:  # a lone letter may be a variable
        return (left or squeeze(gold).casefold()) == (right or squeeze(read).casefold())
    if any(pattern.fullmatch(side) for pattern in (_BASE, _RATIO) for side in (gold, read)):
        return re.sub(r"[\s{}]", "", gold) == re.sub(r"[\s{}]", "", read)  # 1010_2 and 12:00 only in the same form
    if bool(_RELATION.search(gold)) != bool(_RELATION.search(read)) or ("=" in gold) != ("=" in read):
        return False
    return _symbolic(gold, read, budget)


def _parts(text: str) -> tuple[str, list[str], str]:
    """(opening, elements, closing); a bare list has empty brackets, a bracketed single term is a term."""
    pair = brackets(text)
    if pair is not None:
        inside = split_top(pair[1])
        if len(inside) == 1:
            inside = split_top(pair[1], thousands=False)  # (2,100) is a pair, not two thousand one hundred
        if pair[0] == "{" or len(inside) > 1:
            return pair[0], inside, pair[2]
    return "", [part for term in split_top(text) for part in _signs(term)], ""


def _signs(term: str) -> list[str]:
    if not _PLUS_MINUS.search(term):
        return [term]
    plus, minus = ("+", "-") if "\\pm" in term else ("-", "+")
    both = [_PLUS_MINUS.sub(sign, term).strip() for sign in (plus, minus)]
    return [version.removeprefix("+").strip() for version in both]


def _same(gold: str, read: str, budget: _Budget) -> bool:
    left, right = _parts(gold), _parts(read)
    if left[0] in _UNORDERED and right[0] in _UNORDERED:
        return _same_unordered(left[1], right[1], budget)
    if (left[0], left[2], len(left[1])) != (right[0], right[2], len(right[1])):
        return _symbolic(gold, read, budget) if "\\cup" in gold + read and not _RELATION.search(gold + read) else False
    return all(_same(one, other, budget) for one, other in zip(left[1], right[1], strict=True))


def _same_unordered(gold: list[str], read: list[str], budget: _Budget) -> bool:
    if len(gold) != len(read):
        return False
    rest = list(read)
    for element in gold:
        match = next((other for other in rest if _same_nested(element, other, budget)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _same_nested(gold: str, read: str, budget: _Budget) -> bool:
    return (_same if brackets(gold) and brackets(read) else _same_scalar)(gold, read, budget)


def _strip_assignment(text: str, other: str) -> str:
    if "=" in other or _RELATION.search(other) or text.count("=") > 1:
        return text
    return _ASSIGN.sub("", text, count=1) if _ASSIGN.match(text) else text


def _strip_percent(text: str) -> tuple[str, bool]:
    bare = _PERCENT.sub("", text)
    return bare, bare != text


def _equal(gold: str, read: str, asks_percent: bool, budget: _Budget) -> bool:
    gold, read = _strip_assignment(gold, read), _strip_assignment(read, gold)
    (gold, gold_sign), (read, read_sign) = _strip_percent(gold), _strip_percent(read)
    if gold_sign != read_sign:
        if asks_percent and _same(gold, read, budget):
            return True
        left, right = to_rational(gold), to_rational(read)
        if left is None or right is None:
            return False
        return left[0] / (100 if gold_sign else 1) == right[0] / (100 if read_sign else 1)
    (gold, gold_unit), (read, read_unit) = split_unit(gold), split_unit(read)
    if gold_unit and read_unit and gold_unit != read_unit:
        return False
    return _same(gold, read, budget)


def grade_math(read: str, answer: Answer) -> Verdict:
    """Compare one final answer, in LaTeX or plain.

    Lists without brackets and sets are free of order, tuples and intervals are not; an inequality never stands for
    an interval; a decimal stands for an exact value from six correct decimals; units may be left out but must
    agree where both sides give them; a percent sign may differ only if the question asks for a percentage.
    """
    ratio, wanted = plain_ratio(read), plain_ratio(answer.gold)
    if ratio and wanted:
        return Verdict.of(ratio[0] * wanted[1] == ratio[1] * wanted[0], read, f"{read} against {answer.gold}")
    gold_text = normalise(answer.gold)
    if not gold_text:
        return Verdict.no_read(Unread.GOLD, "the gold is empty", read)
    if len(read) > LONGEST_TEXT:
        return Verdict.no_read(Unread.PREDICTION, f"{len(read)} characters, at most {LONGEST_TEXT} are read", read)
    read_text = normalise(read)
    if not read_text:
        return Verdict.no_read(Unread.PREDICTION, "the answer is empty", read)
    if gold_text == read_text:
        return Verdict.right(read, "the same text")
    try:
        equal = _equal(gold_text, read_text, answer.asks_percent, _Budget())
    except _Unreadable as error:
        return Verdict.no_read(error.side, str(error), read)
    except JobTimeout as error:
        return Verdict.no_read(Unread.TIMEOUT, str(error), read)
    return Verdict.of(equal, read, f"{read_text} against {gold_text}")
