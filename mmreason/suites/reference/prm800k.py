"""The PRM800K grader: what MATH-500 was graded with when it was cut from MATH. mathruler and prime_math use it too."""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.reference.hendrycks import UncleanError, clean, last_box, unwrapped
from mmreason.suites.reference.latex_text import NoTextError, plain
from mmreason.suites.reference.symbols import expression
from mmreason.suites.references import Reference

ORIGIN = "openai/prm800k prm800k/grading/{grader,math_normalize}.py@7ecc794"

_UNITS = "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard".split()
"""Deleted wherever they stand, inside words too."""
_SCALES = (("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_SIGNS = str.maketrans({"√": "sqrt", "π": "pi", "∞": "inf", "∪": "U", "·": "*", "×": "*"})
_THOUSANDS = re.compile(r"(\d),(\d\d\d)($|\D)")
_FRACTION = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
_BRACKETS = "()[]"
_POWERS = (re.compile(r"\^[0-9]+\^"), re.compile(r"\^[0-9][0-9]+"))


def _join_thousands(text: str) -> str:
    joined = _THOUSANDS.sub(r"\1\2\3", text)
    return joined if joined == text else _join_thousands(joined)


def _whole(text: str) -> int | None:
    """The integer that a text is, to 1e-7; None for any other."""
    try:
        number = float(text)
        return round(number) if abs(number - round(number)) <= 1e-7 else None
    except (ValueError, OverflowError):
        return None


def _spelt(latex: str) -> str:
    """LaTeX as text that sympy reads; as it is where that cannot be had."""
    for name in ("\\tfrac", "\\dfrac"):
        latex = latex.replace(name, "\\frac")
    return plain(latex.replace("\\frac", " \\frac")).translate(_SIGNS).strip()


def normal(answer: str) -> str:
    """The answer as its parts are compared: no units, layout or case, mixed numbers as sums."""
    wrapped = re.search(r"^\\text\{(.+?)\}$", answer)
    text = wrapped.group(1) if wrapped else answer
    for old, new in (("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , "), *_SCALES):
        text = text.replace(old, new)
    for unit in _UNITS:
        text = re.sub(rf"{unit}(es)?(s)? *(\^[0-9]+)?", "", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text and text[0] == "{" and text[-1] == "}":
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    whole = _whole(text)
    text = text if whole is None else str(whole)
    if "\\" in text:
        try:
            text = _spelt(text)
        except NoTextError:
            pass
    text = re.sub(r"([0-9]) +([0-9])", r"\1+\2", re.sub("- *", "-", text))
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text.replace(",", "")))) if _whole(_join_thousands(text)) is not None else text


def _parts(text: str) -> list[str]:
    """The members of a tuple or an interval, else the text alone."""
    text = _join_thousands(text)
    if not text:
        return []
    inside = text[1:-1]
    if len(text) > 2 and text[0] in _BRACKETS and text[-1] in _BRACKETS and not any(c in inside for c in _BRACKETS):
        return [part.strip() for part in inside.split(",")]
    return [text]


def _difference_is_zero(gold: str, given: str) -> bool:
    """Whether sympy simplifies the difference to 0; not tried with over two letters or with long powers."""
    text = f"({gold})-({given})"
    letters = {char for char in text.replace("sqrt", "").replace("frac", "") if char.isalpha()}
    if len(letters) > 2 or "^{" in text or "^(" in text or any(power.search(text) for power in _POWERS):
        return False
    import sympy

    try:
        return bool(sympy.simplify(expression(text.replace("^", "**"), implicit=True)) == 0)
    except Exception:  # sympy fails in many ways; the original takes each for "not equal"
        return False


def _same_part(gold: str, given: str) -> bool:
    if _FRACTION.search(gold) and _FRACTION.search(given):
        return gold == given
    if (_whole(_join_thousands(gold)) is None) != (_whole(_join_thousands(given)) is None):
        return False
    return _difference_is_zero(gold, given)


def equal(given: str, gold: str) -> bool:
    """Same after the MATH clean-up, or part by part: fractions as written, integers by integers, else by sympy."""
    if _cleaned(gold) == _cleaned(given):
        return True
    left, right = normal(gold), normal(given)
    if left == right:
        return True
    if not right:
        return False
    golds, givens = _parts(left), _parts(right)
    if len(golds) != len(givens) or (len(golds) > 1 and (left[0], left[-1]) != (right[0], right[-1])):
        return False
    return all(_same_part(one, other) for one, other in zip(golds, givens, strict=True))


def _cleaned(answer: str) -> str:
    answer = answer.strip()
    wrapped = re.search(r"^\\text\{(.+?)\}$", answer)
    return clean(wrapped.group(1).strip() if wrapped else answer)


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    box = last_box(output)
    try:
        return box is not None and equal(unwrapped(box), sample.answer.gold)
    except UncleanError:
        return False


official = Reference(ORIGIN, _score)
