"""Normal forms of LaTeX answers: what can be decided exactly without a computer algebra system."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x2212: ord("-"), 0x2013: ord("-"), 0x3000: ord(" ")}
_SYMBOLS = {"π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "×": r"\times ", "·": r"\cdot ", "±": r"\pm "} | {
    "°": r"^\circ ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "∪": r"\cup ",
}
_REWRITE = [
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right|displaystyle|limits|bigl?|bigr?|Bigl?|Bigr?)(?![a-zA-Z])"), ""),
    (re.compile(r"(?<=\d),\\!\s*(?=\d{3})"), ","),  # a thousands mark, whatever space stands behind it
    (re.compile(r"(?<!\\)\\[,!]"), ""),  # not the second half of a matrix's row mark
    (re.compile(r"(?<!\\)\\(?:[;: ]|quad|qquad)|~"), " "),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le"),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"(\\frac\{[^{}]*\})\s*(\d)"), r"\1{\2}"),
    (re.compile(r"\\sqrt\s*(\d|[a-z](?![a-z]))"), r"\\sqrt{\1}"),
    (re.compile(r"\\(?:mathrm|mathbf|textbf|textit|textrm|mbox|rm|operatorname)\s*\{"), r"\\text{"),
    (re.compile(r"\\text\s*\{\s*(or|and)\s*\}"), r" \1 "),
    (re.compile(r"\*\*"), ""),
    (re.compile(r"\\\$"), ""),
]
_JOINT = re.compile(r"\s*,?\s+(?:or|and)\s+|\s*(?:或者?|和|以及)\s*")
_UNIT = re.compile(r"(?<=[\d})%a-z])\s*\\text\s*\{\s*[-a-zA-Z./\s]*\}(?:\s*\^\s*\{?\s*[-\d]+\s*\}?)?$")
_ALL_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_INT = r"\d+|\d{1,3}(?:,\d{3})+"
_DECIMAL = re.compile(rf"([-+]?)({_INT})?(\.\d*)?")
_FRACTION = re.compile(r"([-+]?)(\d+)?\s*\\frac\{([-+]?\d+)\}\{([-+]?\d+)\}")
_SLASH = re.compile(r"([-+]?)(?:(\d+)\s+)?(\d+)\s*/\s*(\d+)")
_POWER = re.compile(
    r"([-+]?(?:\d+(?:\.\d+)?|\.\d+))\s*(?:e|E|(?:\\times|\\cdot|\*|x)\s*10\s*\^)\s*\{?\s*([-+]?\d{1,4})\s*\}?"
)
_PLAIN_RATIO = re.compile(r"(-?)(?:(\d{1,40})|\\[dt]?frac\{(\d{1,40})\}\{(\d{1,40})\})")
_CLOSES = {"(": ")[]", "[": ")]"}


@lru_cache(maxsize=4096)
def normalise(latex: str) -> str:
    """Half-width, one spelling per command, no layout commands, degree and dollar signs, or final full stop."""
    text = latex if latex.isascii() else latex.translate(_WIDE)
    for symbol, command in _SYMBOLS.items() if not text.isascii() else ():
        text = text.replace(symbol, command)
    text = text.strip()
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$")):
        if text.startswith(opening) and text.endswith(closing) and len(text) > len(opening + closing):
            text = text[len(opening) : -len(closing)]
    if any(mark in text for mark in ("\\", "{", "**", "~")):
        for pattern, put in _REWRITE:
            text = pattern.sub(put, text)
    text = _JOINT.sub(", ", text.replace("$", "")).strip()
    return re.sub(r"\s+", " ", text.rstrip(".") if not text.endswith("..") else text).strip()


def squeeze(text: str) -> str:
    """For comparing spellings: without text wrappers, braces around one character, and spaces not between digits."""
    text = _ALL_TEXT.sub(r"\1", text)
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", re.sub(r"(?<!\\)\{\s*(\w)\s*\}", r"\1", text))


def split_unit(text: str) -> tuple[str, str]:
    r"""(`12`, `cm`) of ``12\text{ cm}``; the unit without plural s and spaces, empty if there is none."""
    match = _UNIT.search(text)
    if match is None or match.start() == 0:
        return text, ""
    unit = re.sub(r"\\text|[\s{}]", "", match.group()).lower()
    return text[: match.start()].strip(), unit.removesuffix("s")


def words_of(text: str) -> str | None:
    r"""The folded words if the answer is text: ``\text{Evelyn}``, ``\text{(C)}``, "east"; None for mathematics."""
    bare = _ALL_TEXT.sub(r" \1 ", text)
    marked = bare != text
    bare = re.sub(r"[\s]+", " ", re.sub(r"^\s*\(\s*([A-Za-z])\s*\)\s*$", r"\1", bare)).strip(" .")
    if re.fullmatch(r"[^\W\d_]+(?:[\s'\-,]+[^\W\d_]+)*", bare) and (marked or len(bare) > 3 or len(bare) == 1):
        return bare.casefold()
    return bare.casefold() if marked and not re.search(r"[\d\\=<>^+*/]", bare) else None


def to_rational(text: str) -> tuple[Fraction, int | None] | None:
    r"""(exact value, shown decimals or None for an exact form) of a number, fraction, mixed number or power of ten."""
    text = _ALL_TEXT.sub(r"\1", text).strip() if "\\text" in text else text.strip()
    if len(text) > 60:
        return None
    match = _DECIMAL.fullmatch(text)
    if match and (match[2] or (match[3] or ".") != "."):
        digits = (match[2] or "0").replace(",", "") + (match[3] or "")
        value = Fraction(digits.rstrip(".") or "0")
        return (-value if match[1] == "-" else value), (len(match[3]) - 1 if match[3] else None)
    match = _POWER.fullmatch(text)
    if match and abs(int(match[2])) <= 400:
        return Fraction(match[1]) * Fraction(10) ** int(match[2]), None
    match = _FRACTION.fullmatch(text) or _SLASH.fullmatch(text)
    if match and int(match[4]):
        value = Fraction(int(match[2] or 0)) + Fraction(int(match[3]), int(match[4]))
        return (-value if match[1] == "-" else value), None
    return None


def plain_ratio(text: str) -> tuple[int, int] | None:
    r"""(numerator, denominator above 0) of an integer or ``\frac{a}{b}`` in its plainest form, before `normalise`."""
    match = _PLAIN_RATIO.fullmatch(text)
    if match is None:
        return None
    sign, whole, above, below = match.groups()
    top, bottom = int(whole or above), int(below or 1)
    return (-top if sign else top, bottom) if bottom else None


def split_top(text: str, thousands: bool = True) -> list[str]:
    """Parts at top-level commas; with `thousands` not at commas between a digit and exactly three digits."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 0 and not (thousands and _is_thousands(text, place)):
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def _is_thousands(text: str, place: int) -> bool:
    before = re.search(r"(?<![\d.])\d{1,3}(?:,\d{3})*$", text[:place])
    return before is not None and re.match(r",\d{3}(?!\d)", text[place:]) is not None


def brackets(text: str) -> tuple[str, str, str] | None:
    r"""(opening, inside, closing) if one pair encloses the whole: ``(a,b]`` or ``\{a,b\}``; else None."""
    if text.startswith("\\{") and text.endswith("\\}"):
        return ("{", text[2:-2].strip(), "}") if "\\}" not in text[2:-2] else None
    if text[:1] not in _CLOSES or text[-1:] not in _CLOSES[text[0]]:
        return None
    depth = 0
    for place, char in enumerate(text):
        depth += (char in "([") - (char in ")]")
        if depth == 0:
            return (text[0], text[1:-1].strip(), text[-1]) if place == len(text) - 1 else None
    return None
