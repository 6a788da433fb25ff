"""VSI-Bench: first word and mean relative accuracy, the mean of eight tasks

`results`: [{"id", "prediction", ...}], the rows that the authors' task aggregates.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmreason.records import AnswerKind, Sample
from mmreason.rewards.regression import LEVELS
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "vision-x-nyu/thinking-in-space lmms_eval/tasks/vsibench/utils.py@51e089c"
LMMS = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/vsibench/utils.py@75571cf, numbers found in text"

_DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))
_BORDER = 1e-9
"""Slack for binary fractions at a border of the strict figure."""
_POINTS = np.linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2))
_DIGITS = re.compile(r"-?\d+(?:\.\d+)?")
_WORDS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_WORDS |= {
    word: 10 * tens for tens, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_WORDS |= {"hundred": 100, "thousand": 1000}


def first_word(output: str) -> str:
    """Up to the first blank, without full stops at its end."""
    return output.split(" ")[0].rstrip(".").strip()


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def relative_accuracy(said: float | None, gold: float) -> float:
    """Share of ten levels met, in the original's binary fractions; 0 for no number."""
    if said is None:
        return 0.0
    return float((abs(said - gold) / gold <= 1 - _POINTS).mean())


def number_in(text: str) -> float | None:
    """The first number of a text, in digits or English words, whichever comes first."""
    lower = text.strip().lower()
    digits, words = _DIGITS.search(lower), list(re.finditer(r"[a-z]+", lower))
    start = next((place for place, word in enumerate(words) if word[0] in _WORDS), None)
    if digits and (start is None or digits.start() < words[start].start()):
        return float(digits[0])
    return None if start is None else _spelled([word[0] for word in words[start:]])


def _spelled(words: list[str]) -> float:
    """The value of the number words up to the first other word, 'and' aside."""
    total = current = 0
    for word in words:
        if word == "and":
            continue
        if word not in _WORDS:
            break
        value = _WORDS[word]
        if value == 1000:
            total, current = total + max(current, 1) * value, 0
        else:
            current = max(current, 1) * value if value == 100 else current + value
    return float(total + current)


def _official(output: str, sample: Sample, rng: random.Random) -> float | bool:
    word, gold = first_word(output), sample.answer.gold
    if sample.answer.kind is AnswerKind.REGRESSION:
        return relative_accuracy(_as_float(word), float(gold))
    return word.lower() == gold.lower()


def _lmms(output: str, sample: Sample, rng: random.Random) -> float | bool:
    if sample.answer.kind is AnswerKind.REGRESSION:
        return relative_accuracy(number_in(output), float(sample.answer.gold))
    return first_word(output).lower() == sample.answer.gold.lower()


def eight(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean of the tasks, direction being the mean of its three levels, and each task's figure."""
    found = means(scored, "task")
    levels = [found.pop(name) for name in _DIRECTIONS if name in found]
    if levels:
        found["object_rel_direction"] = sum(levels) / len(levels)
    return {"overall": sum(found.values()) / len(found), "micro": mean(scored), **dict(sorted(found.items()))}


def macro(scored: Sequence[Scored]) -> dict[str, float]:
    """The same over strict verdicts: their credit is relative accuracy, made the share of levels met."""
    return eight([replace(one, value=_share(one)) for one in scored])


def _share(one: Scored) -> float | None:
    if one.value is None or one.sample.answer.kind is not AnswerKind.REGRESSION:
        return one.value
    return sum(one.value >= level - _BORDER for level in LEVELS) / len(LEVELS)


official = Reference(ORIGIN, _official, eight)
lmms_eval = Reference(LMMS, _lmms, eight)


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Rows with id and prediction."""
    return named(
        samples, ((where, field(where, row, "id"), field(where, row, "prediction")) for where, row in objects(path))
    )
