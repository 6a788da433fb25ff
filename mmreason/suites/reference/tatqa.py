"""TAT-QA's own scorer: exact match, DROP-style F1 and scale of an answer given as [answer, scale].

An output holds the two fields as JSON `[answer, scale]` (what `predictions` gives), `{"answer": ..., "scale": ...}`, or
as text: the answer that we cut out, with a scale word behind it taken for the scale ("123.2 million", "22.1 percent").

Predictions (`predictions`): the JSON object that the original reads, {question uid: [answer, scale]}, the answer a
text, a number or a list of them.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample
from mmreason.rewards.extract import after_thinking, read_answer
from mmreason.suites.reference.forms import named, pairs
from mmreason.suites.references import Reference, Scored

ORIGIN = "NExTplusplus/TAT-QA tatqa_eval.py, tatqa_metric.py, tatqa_utils.py@870accc"
SCALES = ("thousand", "million", "billion", "percent")
_WORDS = {"hundred": 100, "thousand": 1000, "million": 1_000_000, "billion": 1_000_000_000, "percent": 0.01}

_MARKS = str.maketrans("", "", "'\"\\$€£¥%(),[]")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_FIRST_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)|[+-]?\.\d+")
_NUMBER_WORD = re.compile(r"[\d.]+\s?[a-zA-Z]+")
_IN_BRACKETS = re.compile(r"\([\d.\s]+\)")
_BEFORE_PERCENT = re.compile(r"[\d.\s]+%")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_FIELDS = re.compile(r"<fields>(\[.*\])</fields>", re.DOTALL)
"""The two fields as `predictions` stores them in front of an output."""
_SCALE_BEHIND = re.compile(rf"(.*\S)\s+({'|'.join(SCALES)})s?\.?", re.DOTALL | re.IGNORECASE)


def scale_factor(words: str) -> float:
    """What a scale word multiplies by; 1 for any other text. The word may be a part: "millions"."""
    return next((factor for word, factor in _WORDS.items() if word in words.lower()), 1)


def is_number(text: str) -> bool:
    """Whether the text begins with a number, alone or with a scale word behind it."""
    words = " ".join(word.translate(_MARKS) for word in text.split()).split()
    try:
        return bool(words) and not np.isnan(float(words[0])) and (len(words) < 2 or scale_factor(words[1]) != 1)
    except ValueError:
        return False


def to_number(text: str) -> float | None:
    """The first number, with the scale word, brackets and percent sign beside it worked in; 4 decimals.

    None where it begins with a point: ".5" is no number here.
    """
    found = _FIRST_NUMBER.search(text.translate(_MARKS))
    if found is None or found.group(1) is None:
        return None
    digits = found.group(1)
    number = float(digits) if "." in digits else int(digits)
    behind = _NUMBER_WORD.search(text)
    scale = scale_factor(behind.group()) if behind else 1
    sign = -1 if _IN_BRACKETS.search(text.strip()) else 1
    percent = 0.01 if _BEFORE_PERCENT.search(text.strip()) else 1
    return round(number * scale * sign * percent, 4)


def _word(word: str) -> str:
    """One word of the normal form: no case, punctuation or article; a number printed as Python prints it."""
    word = word.lower()
    word = word if is_number(word) else word.translate(_PUNCTUATION)
    word = str(to_number(word)) if is_number(word) else word
    return " ".join(_ARTICLES.sub(" ", word).split())


def normal(text: str) -> str:
    """The text as it is compared."""
    return " ".join(part for part in map(_word, text.split(" ")) if part)


def printed(answers: Sequence[Any], scale: str | None) -> str:
    """Answers and scale as one text: sorted, numbers expanded by the scale to 4 decimals, words with it behind them."""
    return " ".join(_printed(str(answer), scale) for answer in sorted(answers))


def _printed(answer: str, scale: str | None) -> str:
    number = to_number(answer) if is_number(answer) else None
    if number is None:
        return f"{answer} {scale}" if scale else answer
    return f"{number:.4f}" if "%" in answer else f"{round(number, 2) * scale_factor(scale or ''):.4f}"


def _f1(said: set[str], gold: set[str]) -> float:
    common = len(said & gold)
    precision = common / len(said) if said else 1.0
    recall = common / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision or recall else 0.0


def compared(said: str, gold: str) -> tuple[float, float]:
    """(exact match, F1 over sets of words at 2 decimals) of two printed answers."""
    left, right = normal(said), normal(gold)
    return float(left == right), float(np.round(_f1(set(left.split()), set(right.split())), 2))


def _gold(sample: Sample) -> tuple[list[Any], str]:
    """The released answer as a list, and its scale."""
    kind, value = sample.metadata["answer_type"], sample.evidence["answer"]
    if kind in ("span", "multi-span"):
        return value if isinstance(value, list) else [value], sample.metadata["scale"]
    return [str(int(value)) if kind == "count" else str(value)], sample.metadata["scale"]


def graded(answer: Any, scale: str | None, gold: Sequence[Any], gold_scale: str, kind: str) -> tuple[float, float]:
    """(exact match, F1). A falsy answer (0, "", []) scores 0 whatever the gold is; numbers have no partial F1."""
    if not answer or not gold:
        return 0.0, 0.0
    given = answer if isinstance(answer, list) else [answer]
    forms = [printed(given, scale)]
    first = str(given[0])
    if len(given) == 1 and not scale and "%" not in first and is_number(first):
        number = to_number(first)
        forms += [] if number is None else [f"{number:.4f}"]
    exact, f1 = max(compared(form, printed(gold, gold_scale)) for form in forms)
    return exact, exact if kind in ("arithmetic", "count") else f1


def fields(output: str) -> tuple[Any, str | None]:
    """(answer, scale) of an output: its JSON where it is that, else the answer with a scale word taken off its end."""
    stored = _FIELDS.match(output)
    if stored:
        answer, scale = json.loads(stored.group(1))
        return answer, scale
    text = read_answer(output, lenient=True).text
    text = (after_thinking(output) or "").strip() if text is None else text.strip()
    for form in (output.strip(), text):
        found = _from_json(form)
        if found is not None:
            return found
    behind = _SCALE_BEHIND.fullmatch(text)
    return (behind.group(1), behind.group(2).lower()) if behind else (text, "")


def _from_json(text: str) -> tuple[Any, str | None] | None:
    if text[:1] not in "[{":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and {"answer", "scale"} <= set(value):
        value = [value["answer"], value["scale"]]
    is_pair = isinstance(value, list) and len(value) == 2 and (value[1] is None or value[1] in ("", *SCALES))
    if is_pair and not isinstance(value[0], dict):
        return value[0], value[1]
    return (value, "") if isinstance(value, list) else None


def _score(output: str, sample: Sample, rng: random.Random, part: int) -> float:
    answer, scale = fields(output)
    try:
        return graded(answer, scale, *_gold(sample), sample.metadata["answer_type"])[part]
    except (TypeError, OverflowError):
        return 0.0  # texts beside numbers, which cannot be sorted, or hundreds of digits: the original stops there


def _scale(output: str, sample: Sample, rng: random.Random) -> bool:
    answer, scale = fields(output)
    return bool(answer) and scale == sample.metadata["scale"]


def _by_type(scored: Sequence[Scored], name: str) -> dict[str, float]:
    """The mean, then the mean of each answer type."""
    kinds = sorted({one.sample.metadata["answer_type"] for one in scored})
    parts: dict[str, Callable[[Scored], bool]] = {name: lambda one: True}
    parts |= {kind: partial(_is_of, kind) for kind in kinds}
    kept = {key: [one.value or 0.0 for one in scored if test(one)] for key, test in parts.items()}
    return {key: sum(values) / len(values) if values else 0.0 for key, values in kept.items()}


def _is_of(kind: str, one: Scored) -> bool:
    return bool(one.sample.metadata["answer_type"] == kind)


em = Reference(ORIGIN, partial(_score, part=0), total=partial(_by_type, name="em"))
f1 = Reference(f"{ORIGIN}, F1", partial(_score, part=1), total=partial(_by_type, name="f1"))
scale = Reference(f"{ORIGIN}, scale", _scale, total=partial(_by_type, name="scale"))


def predictions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The original's predictions file. Raises UserError for an entry that is no pair of answer and scale."""
    numbers = {sample.source.row for sample in samples if sample.answer.kind is AnswerKind.NUMBER}
    found = []
    for where, key, value in pairs(path):
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], str | None):
            raise UserError(f"{where} is {value!r:.100}, expected [answer, scale]")
        found.append((where, key, _output(value[0], value[1], unit=key in numbers)))
    return named(samples, found)


def _output(answer: Any, scale: str | None, unit: bool = True) -> str:
    """The two fields for this scorer, and the same for ours: spans as a list, a number with its scale (`unit`)."""
    pair = json.dumps([answer, scale], ensure_ascii=False)
    shown = json.dumps(answer, ensure_ascii=False) if isinstance(answer, list) and len(answer) > 1 else _shown(answer)
    scaled = bool(unit and scale) and is_number(shown) and "%" not in shown
    return f"<fields>{pair}</fields><answer>\\boxed{{{shown}{f' {scale}' if scaled else ''}}}</answer>"


def _shown(answer: Any) -> str:
    one = answer[0] if isinstance(answer, list) and answer else answer
    return "" if one is None or one == [] else str(one)
