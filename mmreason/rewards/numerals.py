"""Numbers in words: Chinese numerals and scale words, as a value with the size of its last shown digit."""

from __future__ import annotations

import re
from functools import lru_cache

SCALES: dict[str, float] = {
    "hundred": 1e2,
    "thousand": 1e3,
    "thousands": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "mln": 1e6,
    "mn": 1e6,
    "billion": 1e9,
    "billions": 1e9,
    "bln": 1e9,
    "bn": 1e9,
    "trillion": 1e12,
    "trillions": 1e12,
    "tn": 1e12,
    "千": 1e3,
    "万": 1e4,
    "百万": 1e6,
    "千万": 1e7,
    "亿": 1e8,
    "万亿": 1e12,
}
"""Scale word -> factor; the words that a gold, a prediction or `Answer.scale` may carry."""

DIGITS = dict(zip("零〇一二三四五六七八九", (0, *range(10)), strict=True)) | {"两": 2, "○": 0}
DIGITS |= dict(zip("壹贰叁肆伍陆柒捌玖", range(1, 10), strict=True))
SMALL_UNITS = {"十": 10, "百": 100, "千": 1000, "拾": 10, "佰": 100, "仟": 1000}
LARGE_UNITS = {"万": 10_000, "萬": 10_000, "亿": 100_000_000, "億": 100_000_000}
CHINESE = "".join([*DIGITS, *SMALL_UNITS, *LARGE_UNITS, "点", "點"])
"""Every character of a Chinese numeral."""


@lru_cache(maxsize=256)
def scale_factor(word: str) -> float | None:
    """Factor of a scale word in any case, with or without 元 behind it; 1 for an empty word, None if unknown."""
    word = word.strip().lower().removesuffix("元")
    return SCALES.get(word) if word else 1.0


_WORD = "".join(DIGITS)
_UNIT = "".join([*SMALL_UNITS, *LARGE_UNITS])
_TOKENS = re.compile(rf"(\d[\d,]*(?:\.\d+)?|[{_WORD}]+(?:[点點][{_WORD}]+)?|[点點][{_WORD}]+)?([{_UNIT}])?")
_ONE_UNIT = re.compile(rf"(\d+)(?:\.(\d+))?([{''.join(LARGE_UNITS)}])")
"""1.2亿 and 35万, the commonest form by far."""
_TO_ASCII = str.maketrans({**{word: str(digit) for word, digit in DIGITS.items()}, "点": ".", "點": "."})


def parse_chinese(text: str) -> tuple[float, float] | None:
    """(value, size of the last shown digit) of a Chinese numeral, ASCII digits allowed; None if it is none.

    Positional (三千五百万, 1亿2000万), digit by digit (二〇二四), decimals (十二点五), and the spoken short form
    in which the last unit is left out (三千五 is 3500).
    """
    short = _ONE_UNIT.fullmatch(text)
    if short:
        size = LARGE_UNITS[short[3]]
        return float(f"{short[1]}.{short[2] or 0}") * size, 10.0 ** -len(short[2] or "") * size
    total = section = 0.0
    last, previous, largest = 1.0, 0, 0
    pairs = _split(text)
    for digits, unit in pairs:
        number = float(digits or 0)
        last = 10.0 ** -len(digits.partition(".")[2]) if digits or unit in SMALL_UNITS else last
        factor = SMALL_UNITS.get(unit) or LARGE_UNITS.get(unit) or 1
        if not unit and previous >= 100 and len(digits) == 1:
            number, last = number * previous / 10, previous / 10  # the spoken short form
        if unit in SMALL_UNITS:
            section += (number if digits else 1.0) * factor
        elif unit in LARGE_UNITS:
            grows = factor > largest  # 万 then 亿 multiplies all so far; 亿 then 万 adds
            total = (total + section + number) * factor if grows else total + (section + number) * factor
            section, largest = 0.0, max(largest, factor)
        else:
            section += number
        last, previous = last * factor, factor if unit else 0
    return (total + section, last) if pairs else None


def _split(text: str) -> list[tuple[str, str]]:
    """[(ASCII digits, unit or '')] that cover the whole text; empty if they do not or the numeral has no start."""
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None or match.end() == at:
            return []
        pairs.append(((match[1] or "").translate(_TO_ASCII).replace(",", ""), match[2] or ""))
        at = match.end()
    first = pairs[0] if pairs else ("", "")
    return pairs if first[0] or first[1] in SMALL_UNITS else []
