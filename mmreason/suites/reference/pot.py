"""Program-of-Thoughts' numeric rules for FinQA and ConvFinQA: exact at the shown decimals, and the percent-lenient one.

The lenient rule compares at the smaller number of decimals that gold candidate and prediction show, so "0.0" is right
for every gold below 5 written with decimals (as g/100 rounds to 0.0). Never a reward.
"""

from __future__ import annotations

import random
import re
from math import isclose

from mmreason.records import Sample
from mmreason.rewards.extract import read_answer
from mmreason.suites.reference.finqa import gold_value, read_scalar
from mmreason.suites.references import Reference

ORIGIN = "wenhuchen/Program-of-Thoughts tool.py@850399c"
_PLAIN = re.compile(r"[-+]?\d*\.?\d+")

Value = float | str


def decimals(number: float) -> int:
    """Digits behind the point as Python prints the number; 5 without one."""
    text = str(number)
    return len(text.split(".")[-1]) if "." in text else 5


def same(said: Value | None, gold: Value, lenient: bool = False) -> bool:
    """Equal at the smaller number of shown decimals; `lenient`: g/100, g or 100 g, or within a thousandth of one."""
    if said is None:
        return False
    if isinstance(said, str) or isinstance(gold, str):
        return said == gold
    golds = (gold / 100, gold, gold * 100) if lenient else (gold,)
    return any((lenient and isclose(one, said, rel_tol=0.001)) or _rounds_to(said, one) for one in golds)


def _rounds_to(said: float, gold: float) -> bool:
    places = min(decimals(said), decimals(gold))
    return round(said, places) == round(gold, places)


def read(output: str) -> Value | None:
    """The final answer as it is shown: 93.5 for "93.5%" too, which the original reads without its sign."""
    text = (read_answer(output, lenient=True).text or "").strip().replace(",", "")
    found = _PLAIN.findall(text)
    return float(found[-1]) if found else read_scalar(output)


def _lenient(output: str, sample: Sample, rng: random.Random) -> bool:
    gold = gold_value(sample)
    return gold is not None and same(read(output), gold, lenient=True)


def _code(output: str, sample: Sample, rng: random.Random) -> bool:
    gold = gold_value(sample)
    return gold is not None and same(read(output), gold)


lenient = Reference(f"{ORIGIN}, percent and tolerance (chain-of-thought mode)", _lenient)
code = Reference(f"{ORIGIN}, code mode", _code)
