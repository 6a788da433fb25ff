"""Mathematical answers: exact rules first, then math-verify in a worker process under one hard deadline."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from mmreason.records import Answer, Unread, Verdict
from mmreason.rewards.math_normal import brackets, normalise, split_top, split_unit, squeeze, to_rational, words_of
from mmreason.rewards.math_pool import JobTimeout, shared_pool

SECONDS = 5.0
"""One deadline for parse, parse and compare."""
LONGEST = 300
DEEPEST = 20
LARGEST = 10_000
"""Largest exponent and factorial argument that are evaluated."""
DECIMALS = 6
"""Correct decimals that a decimal needs to stand for an exact value."""

_RELATION = re.compile(r"[<>]|\\(?:le|ge|lt|gt|ne|neq)(?![a-zA-Z])")
_ASSIGN = re.compile(r"[a-zA-Z](?:_\{?\w+\}?)?(?:\([a-z]\))?\s*(?:=|\\in(?![a-z]))\s*(?=\S)")
_BASE = re.compile(r"([0-9A-F]+)\s*_\s*\{?\s*(\d+)\s*\}?")
_RATIO = re.compile(r"[^:\\]+:[^:\\]+(?::[^:\\]+)*")
_EXPONENT = re.compile(r"\^\s*\{?\s*[-+]?(\d[\d,]*)")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_PERCENT = re.compile(r"\s*\\?%$|\s*\\text\{\s*percent\s*\}$")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![a-zA-Z])")
_UNORDERED = ("", "{")


class _Unreadable(Exception):
    """One side cannot be parsed; carries which."""

    def __init__(self, side: Unread, why: str) -> None:
        super().__init__(why)
        self.side = side


def refuse(latex: str) -> str | None:
    """Why an expression is too costly to hand to a computer algebra system, or None."""
    if len(latex) > LONGEST:
        return f"{len(latex)} characters, at most {LONGEST}"
    depth = deepest = tower = 0
    for char in latex:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        return f"{deepest} nested brackets, at most {DEEPEST}"
    tower = max((len(run) for run in _towers(latex)), default=0)
    if tower > 2:
        return f"a tower of {tower} exponents, at most 2"
    numbers = [*_EXPONENT.findall(latex), *_FACTORIAL.findall(latex)]
    if any(len(number) > 6 or int(number.replace(",", "")) > LARGEST for number in numbers):
        return f"an exponent or factorial above {LARGEST}"
    if re.search(r"!\s*!|\)\s*!", latex) or re.search(r"\\(?:boxed|fbox|input|def|write)(?![a-z])", latex):
        return "a form that is not evaluated"
    return None


def _towers(latex: str) -> list[str]:
    """Runs of carets, one per level of stacked exponents."""
    runs, levels = [], [0]
    for place, char in enumerate(latex):
        if char == "^":
            levels[-1] += 1
            runs.append("^" * sum(levels))
        elif char == "{":
            levels.append(0)
        elif char == "}" and len(levels) > 1:
            levels.pop()
            following = latex[place + 1 : place + 2]
            levels[-1] = levels[-1] if following == "^" else 0
        elif char in "+-=, )" and len(levels) == 1:
            levels[-1] = 0
    return runs


@lru_cache(maxsize=16384)
def _symbolic(gold: str, read: str) -> bool:
    """math-verify's verdict. Timeouts raise and are not cached: they depend on the machine's load."""
    for side, latex in ((Unread.GOLD, gold), (Unread.PREDICTION, read)):
        why = refuse(latex)
        if why is not None:
            raise _Unreadable(side, why)
    reply = shared_pool().run({"gold": gold, "read": read}, SECONDS)
    if "unread" in reply:
        raise _Unreadable(Unread(reply["unread"]), reply.get("error", "no expression could be parsed"))
    return bool(reply["equal"])


def _same_rational(gold: str, read: str) -> bool | None:
    left, right = to_rational(gold), to_rational(read)
    if left is None or right is None:
        return None
    decimals = right[1] or 0
    if left[1] is None and decimals >= DECIMALS and left[0].denominator != 1:
        return abs(left[0] - right[0]) < Fraction(1, 10**DECIMALS)
    return left[0] == right[0]


def _same_scalar(gold: str, read: str) -> bool:
    """One element against one element."""
    gold, read = _strip_assignment(gold, read), _strip_assignment(read, gold)
    if squeeze(gold) == squeeze(read):
        return True
    exact = _same_rational(gold, read)
    if exact is not None:
        return exact
    left, right = words_of(gold), words_of(read)
    if left is not None or right is not None:
        return (left or squeeze(gold).casefold()) == (right or squeeze(read).casefold())
    if any(pattern.fullmatch(side) for pattern in (_BASE, _RATIO) for side in (gold, read)):
        return re.sub(r"[\s{}]", "", gold) == re.sub(r"[\s{}]", "", read)  # 1010_2 and 12:00 only in the same form
    if bool(_RELATION.search(gold)) != bool(_RELATION.search(read)) or ("=" in gold) != ("=" in read):
        return False
    return _symbolic(gold, read)


def _parts(text: str) -> tuple[str, list[str], str]:
    """(opening, elements, closing); a bare list has empty brackets, a bracketed single term is a term."""
    pair = brackets(text)
    if pair is not None and (pair[0] == "{" or len(split_top(pair[1])) > 1):
        return pair[0], split_top(pair[1]), pair[2]
    return "", [part for term in split_top(text) for part in _signs(term)], ""


def _signs(term: str) -> list[str]:
    if not _PLUS_MINUS.search(term):
        return [term]
    plus, minus = ("+", "-") if "\\pm" in term else ("-", "+")
    both = [_PLUS_MINUS.sub(sign, term).strip() for sign in (plus, minus)]
    return [version.removeprefix("+").strip() for version in both]


def _same(gold: str, read: str) -> bool:
    left, right = _parts(gold), _parts(read)
    if left[0] in _UNORDERED and right[0] in _UNORDERED:
        return _same_unordered(left[1], right[1])
    if (left[0], left[2], len(left[1])) != (right[0], right[2], len(right[1])):
        return _symbolic(gold, read) if "\\cup" in gold + read and not _RELATION.search(gold + read) else False
    return all(_same(one, other) for one, other in zip(left[1], right[1], strict=True))


def _same_unordered(gold: list[str], read: list[str]) -> bool:
    if len(gold) != len(read):
        return False
    rest = list(read)
    for element in gold:
        match = next((other for other in rest if _same_nested(element, other)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _same_nested(gold: str, read: str) -> bool:
    return _same(gold, read) if brackets(gold) and brackets(read) else _same_scalar(gold, read)


def _strip_assignment(text: str, other: str) -> str:
    if "=" in other or _RELATION.search(other) or text.count("=") > 1:
        return text
    return _ASSIGN.sub("", text, count=1) if _ASSIGN.match(text) else text


def _strip_percent(text: str) -> tuple[str, bool]:
    bare = _PERCENT.sub("", text)
    return bare, bare != text


def _equal(gold: str, read: str, asks_percent: bool) -> bool:
    gold, read = _strip_assignment(gold, read), _strip_assignment(read, gold)
    (gold, gold_sign), (read, read_sign) = _strip_percent(gold), _strip_percent(read)
    if gold_sign != read_sign:
        if asks_percent and _same(gold, read):
            return True
        left, right = to_rational(gold), to_rational(read)
        if left is None or right is None:
            return False
        return left[0] / (100 if gold_sign else 1) == right[0] / (100 if read_sign else 1)
    (gold, gold_unit), (read, read_unit) = split_unit(gold), split_unit(read)
    if gold_unit and read_unit and gold_unit != read_unit:
        return False
    return _same(gold, read)


def grade_math(read: str, answer: Answer) -> Verdict:
    """Compare one final answer, in LaTeX or plain.

    Lists without brackets and sets are free of order, tuples and intervals are not; an inequality never stands for
    an interval; a decimal stands for an exact value from six correct decimals; units may be left out but must
    agree where both sides give them; a percent sign may differ only if the question asks for a percentage.
    """
    gold_text, read_text = normalise(answer.gold), normalise(read)
    if not gold_text:
        return Verdict.no_read(Unread.GOLD, "the gold is empty", read)
    if not read_text:
        return Verdict.no_read(Unread.PREDICTION, "the answer is empty", read)
    if gold_text == read_text:
        return Verdict.right(read, "the same text")
    try:
        equal = _equal(gold_text, read_text, answer.asks_percent)
    except _Unreadable as error:
        return Verdict.no_read(error.side, str(error), read)
    except JobTimeout as error:
        return Verdict.no_read(Unread.TIMEOUT, str(error), read)
    return Verdict.of(equal, read, f"{read_text} against {gold_text}")
