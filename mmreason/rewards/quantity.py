"""One shown number: read with its sign, scale words, percent signs and units, or not at all."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from mmreason.rewards.numerals import CHINESE, LARGE_UNITS, SCALES, parse_chinese

LONGEST = 200
"""Characters that one number with its words may take."""

_PLAIN = re.compile(r"([-+]?)(\d+)(?:\.(\d+))?(%?)")
_DASHES = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2012": "-", "\ufe63": "-", "\u8d1f": "-"})
_LATEX = [
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:left|right|displaystyle|[,;:!])"), ""),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\s*(?:\\times|\\cdot|\u00d7)\s*10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?"), r"e\1"),
    (re.compile(r"\*\*|~|\\ |\\[()]"), " "),
]
_BARE = re.compile(r"[^\\{}*~\u00d7]*")
_CURRENCY = (
    r"(?:(?:US|HK|NT|A|C|R)?\$|\u20ac|\u00a3|\u00a5|\u20a9|\u20b9"
    r"|(?:usd|rmb|cny|eur|gbp|jpy|hkd)\b|\u4eba\u6c11\u5e01)"
)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3}(?!\d))?"
_NUMBER = re.compile(
    rf"(?P<head>(?:[^\d{CHINESE}]{{0,60}}[:=]|about|approximately|approx\.?|around|roughly|\u2248|\u7ea6|\u5927\u7ea6)?)"
    rf"\s*(?P<sign>[-+]?)\s*(?:{_CURRENCY})?\s*(?P<open>\(?)\s*(?P<sign2>[-+]?)\s*(?:{_CURRENCY})?\s*"
    rf"(?P<percent>\u767e\u5206\u4e4b)?\s*(?P<num>{_DIGITS}(?![\d{CHINESE}]|[.,]\d)|[\d,.{CHINESE}]+)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_MONEY = re.compile(_CURRENCY, re.IGNORECASE)
_PERCENT = re.compile(r"%|percent\w*|per\s+cent\b|\bpct\b|\u767e\u5206\u70b9", re.IGNORECASE)
_POINTS = re.compile(r"\bbps?\b|\bbasis\s+points?\b|\u4e2a?\u57fa\u70b9", re.IGNORECASE)
_SCALE = re.compile(r"\b(?:" + "|".join(word for word in SCALES if word.isascii()) + r")\b", re.IGNORECASE)
_SHORT = re.compile(r"\s?([kmb])\b", re.IGNORECASE)
_SHORT_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9}
_BAD_TAIL = re.compile(rf"[\d{CHINESE}]|\bor\b|\band\b|\bto\b|\u6216|\u81f3|\u5230|[~\u223c/=<>|\u00b1]", re.IGNORECASE)
_ONE_DIGITS = re.compile(_DIGITS, re.IGNORECASE)
_HYPHEN = re.compile(r"\s*-\s*(?!point|year|month|day|term)\S")
_NOT_BEFORE = re.compile(r"\bnot\b|\u4e0d|\bor\b|\u6216|<|>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was shown."""

    value: float
    """Scale words and percent signs applied."""
    half_unit: float
    """Half a unit of the last shown digit, in the same units as `value`."""
    signed_percent: bool = False
    """A percent sign or word, or basis points, stood beside it."""
    scaled: bool = False
    """A scale word stood beside it."""


def parse_number(text: str) -> Quantity | None:
    """Exactly one number, or None for ranges, several numbers, nan, inf and words.

    Full-width forms, LaTeX wrappers, currency marks, thousands commas in groups of three, accounting
    parentheses, e-notation, scale words, percent, basis points and Chinese numerals are read.
    """
    if len(text) > LONGEST:
        return None
    plain = _PLAIN.fullmatch(text)
    if plain:
        return _quantity(float(plain.group().rstrip("%")), 10.0 ** -len(plain.group(3) or ""), bool(plain.group(4)), 1)
    text = _normalise(text)
    match = _NUMBER.fullmatch(text)
    if match is None or _NOT_BEFORE.search(match["head"]):
        return None
    tail = _tail(match)
    shown = _shown(match["num"])
    if tail is None or shown is None or (match["sign"] and match["sign2"]):
        return None
    scale, percent, points = tail
    negative = "-" in (match["sign"], match["sign2"]) or bool(match["open"])
    value, last = shown
    percent = percent or match["percent"] is not None
    scaled = scale != 1.0 or any(unit in match["num"] for unit in LARGE_UNITS)
    factor = scale * (1e-4 if points else 1.0)
    return _quantity(-value if negative else value, last, percent, factor, points or percent, scaled)


def _quantity(
    value: float, last: float, percent: bool, factor: float, signed: bool | None = None, scaled: bool = False
) -> Quantity:
    factor *= 0.01 if percent else 1.0
    return Quantity(value * factor, last * abs(factor) / 2, percent if signed is None else signed, scaled)


def _normalise(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_DASHES)
    text = text.replace("\\$", "$").replace("\\%", "%")
    if not _BARE.fullmatch(text):
        for pattern, put in _LATEX:
            text = pattern.sub(put, text)
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1].strip()
    return text.rstrip(" .\u3002")


def _shown(digits: str) -> tuple[float, float] | None:
    """(value, size of the last shown digit); a Chinese numeral or mixed form is read by its own rules."""
    lower = digits.lower().replace(",", "")
    if digits.isascii():
        if not _ONE_DIGITS.fullmatch(digits):
            return None
        mantissa, _, exponent = lower.partition("e")
        power = int(exponent or 0)
        value = float(lower)
        return (value, 10.0 ** (power - len(mantissa.partition(".")[2]))) if abs(power) < 300 else None
    return parse_chinese(digits)


def _tail(match: re.Match[str]) -> tuple[float, bool, bool] | None:
    """(scale, percent, basis points) from what follows the number; None if it spoils the reading."""
    rest = match["rest"]
    if match["open"]:
        inside, closed, rest = rest.partition(")")
        if not closed:
            return None
        rest = inside + " " + rest
    units = _units(rest)
    if units is None:
        return None
    scale, percent, points, short = units
    return (short if short and _MONEY.search(match.string) else scale), percent, points


@lru_cache(maxsize=4096)
def _units(rest: str) -> tuple[float, bool, bool, float] | None:
    """(scale, percent, basis points, scale of a lone k, m or b, 0 without) of the words behind a number."""
    if not rest.strip():
        return 1.0, False, False, 0.0
    percents, points = len(_PERCENT.findall(rest)), len(_POINTS.findall(rest))
    scales = _SCALE.findall(rest)
    if _BAD_TAIL.search(rest) or percents > 1 or len(scales) > 1 or (percents and points):
        return None
    if _HYPHEN.match(rest):
        return None  # "10-14.1" is a range, "5-year" is a unit
    short = None if scales else _SHORT.match(rest)
    factor = _SHORT_SCALES[short.group(1).lower()] if short else 0.0
    return SCALES[scales[0].lower()] if scales else 1.0, percents == 1, points == 1, factor
