"""MMMU's own parser and scorer, random letters for unread choices included

Predictions files: `answers` is one object {"validation_Accounting_1": "D", "validation_Math_15": "3.4", ...} as
main_eval_only.py takes it; `outputs` is the array [{"id", "response", ...}, ...] of a subject's output.json as
main_parse_and_eval.py takes it, of one subject or of several joined. Both programs average over the given items.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import AnswerKind, Sample
from mmreason.suites.reference.forms import field, grouped, mean, means, named, objects, pairs
from mmreason.suites.references import Reference, Scored

ORIGIN = "MMMU-Benchmark/MMMU mmmu/utils/eval_utils.py@bb0b95a"
SEED = 42

_EDGES = (",", ".", "!", "?", ";", ":", "'")
_SENTENCES = re.compile(r"\.\s(?=[A-Z])|\n")
_KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"(?:-|(?<!\d))\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"(?:-?\.\d+|(?:-|(?<!\d))(?:\d+\.\d+|\d+\b))(?![eE][+-]?\d+)(?![,\d])"),
)
"""The original's, never begun in the middle of a run of digits: there they find nothing new, in quadratic time."""


def strip_edges(response: str) -> str:
    """The response without outer punctuation, one mark after the other, and a space on both sides."""
    for mark in _EDGES:
        response = response.strip(mark)
    return f" {response} "


def last_named(response: str, marks: dict[str, str]) -> str | None:
    """Of the letters whose mark occurs, the one whose mark occurs last; the first of the letters in a tie."""
    found = [letter for letter, mark in marks.items() if mark in response]
    return max(found, key=lambda letter: response.rfind(marks[letter])) if found else None


def read_choice(response: str, options: dict[str, str]) -> str | None:
    """The letter that the parser finds: in brackets, else between spaces, else by option text; None: it would guess."""
    response = strip_edges(response)
    for form in ("({})", " {} "):
        letter = last_named(response, {one: form.format(one) for one in options})
        if letter is not None:
            return letter
    if len(response.split()) <= 5:
        return None
    return last_named(response.lower(), {letter: text.lower() for letter, text in options.items()})


def _normal(text: str) -> list[str | float]:
    """A number at two decimals, else the lower-case text; a single letter with a space on either side."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        lower = text.lower()
        return [f" {lower}", f"{lower} "] if len(lower) == 1 else [lower]


def _tails(response: str) -> list[str]:
    """The shortest tail behind a key word, of each sentence; the whole response where there is none.

    The response is lower-cased before it is split at capitals, so only line breaks ever split it.
    """
    response = response.strip().strip(".").lower()
    sentences = _SENTENCES.split(response)
    tails = []
    for index, sentence in enumerate(sentences):
        keys = (*_KEYS, "=") if index == len(sentences) - 1 else _KEYS
        found = [sentence.split(key)[-1].strip() for key in keys if key in sentence]
        tail = _shortest(found)
        if tail and tail not in _TRIVIAL:
            tails.append(tail)
    return tails or [response]


def _shortest(found: list[str]) -> str:
    """The first shortest; an empty one gives way to whatever comes after it, as in the original."""
    best = ""
    for one in found:
        if not best or len(one) < len(best):
            best = one
    return best


def read_open(response: str) -> set[str | float]:
    """Every string and number that counts as an answer."""
    tails = _tails(response)
    numbers = [number for tail in tails for pattern in _NUMBERS for number in pattern.findall(tail)]
    return {value for one in (*tails, *numbers) for value in _normal(one)}


def open_equal(response: str, golds: Sequence[str]) -> bool:
    """Any listed number equal to a gold, or any string that contains one."""
    normal = [value for gold in golds for value in _normal(gold)]
    words = [gold for gold in normal if isinstance(gold, str)]
    return any(
        any(word in said for word in words) if isinstance(said, str) else said in normal for said in read_open(response)
    )


def _golds(sample: Sample) -> list[str]:
    return [sample.answer.gold, *sample.answer.aliases.get("also", [])]


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    if sample.answer.kind is not AnswerKind.CHOICE:
        return open_equal(output, _golds(sample))
    letter = read_choice(output, sample.answer.options)
    return (letter or rng.choice(list(sample.answer.options))) == sample.answer.gold


def _given(output: str, sample: Sample, rng: random.Random) -> bool:
    if sample.answer.kind is not AnswerKind.CHOICE:
        return open_equal(output, _golds(sample))
    return output == sample.answer.gold


def disciplines(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all items (micro), and by discipline; a discipline's is weighted by the size of its subjects."""
    return {"acc": mean(scored), **means(scored, "discipline")}


def _with_guesses(scored: Sequence[Scored]) -> dict[str, float]:
    choices = [one for one in scored if one.value is not None and one.sample.answer.kind is AnswerKind.CHOICE]
    guessed = sum(read_choice(one.output or "", one.sample.answer.options) is None for one in choices)
    return {**disciplines(scored), "guessed_share": guessed / len(choices) if choices else 0.0}


def subjects(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy of each of the 30 subjects."""
    return {subject: mean(part) for (subject,), part in grouped(scored, "subject").items()}


official = Reference(f"{ORIGIN}, mmmu/main_parse_and_eval.py", _official, _with_guesses, SEED, missing=None)
eval_only = Reference(f"{ORIGIN}, mmmu/main_eval_only.py (answers already parsed)", _given, disciplines, missing=None)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{released id: letter or open answer}."""
    return named(samples, pairs(path))


def outputs(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"id", "response", ...}, ...]."""
    rows = objects(path)
    return named(samples, [(where, field(where, row, "id"), field(where, row, "response")) for where, row in rows])
