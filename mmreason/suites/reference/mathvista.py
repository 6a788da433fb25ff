"""MathVista's normalisation and comparison of extractions; the extracting language model is left out

Predictions file: the repository's output JSON, {"1": {"extraction": ..., "response": ...}, ...}: `extracted` takes the
stored extractions, `responses` the raw responses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "lupantech/MathVista evaluation/calculate_score.py@53d5258, on stored extractions"
_LETTER = re.compile(r"\(([a-zA-Z])\)")
_QUOTED = re.compile(r'The answer is "(.*)"\.')
LONGEST = 100_000
"""Characters of an extraction that are compared with the options; a longer one is cut there (ours)."""


def edit_distance(text: str, other: str) -> int:
    """Levenshtein distance, one bit per character of `other` (Hyyro 2003), O(len(text)) steps on whole numbers."""
    if not other:
        return len(text)
    places: dict[str, int] = {}
    for index, character in enumerate(other):
        places[character] = places.get(character, 0) | 1 << index
    ones, last = (1 << len(other)) - 1, 1 << (len(other) - 1)
    up, down, distance = ones, 0, len(other)
    for character in text:
        match = places.get(character, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up, right_down = down | (~(diagonal | up) & ones), up & diagonal
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = (right_up << 1 | 1) & ones
        down = right_up & diagonal
        up = ((right_down << 1) | (~(right_up | diagonal) & ones)) & ones
    return distance


def _option(extraction: str, options: dict[str, str]) -> str:
    """The option of the first "(x)", of a lone capital, else the nearest by edit distance, the first in a tie."""
    said = extraction.strip()
    bracketed = _LETTER.search(said)
    said = bracketed.group(1).upper() if bracketed else said
    if said in options:
        return options[said]
    return min(options.values(), key=lambda option: edit_distance(said[:LONGEST], option))


def normal(extraction: str, sample: Sample) -> str | None:
    """The extraction in the form of the released answers; None where it has none."""
    if sample.answer.options:
        return _option(extraction, sample.answer.options)
    kind = sample.metadata["answer_type"]
    try:
        if kind == "integer":
            return str(int(float(extraction)))
        return str(round(float(extraction), int(sample.metadata["precision"]))) if kind == "float" else extraction
    except (ValueError, OverflowError):
        return None


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    return normal(output, sample) == str(sample.metadata["released_answer"])


def _no_gift(output: str, sample: Sample, rng: random.Random) -> bool:
    return bool(output.strip() or not sample.answer.options) and _official(output, sample, rng)


def quick(response: str, sample: Sample) -> str | None:
    """What the rules in front of the language model extract; None where it would be asked."""
    if response == "" or response in sample.answer.options.values():
        return response
    try:
        if sample.metadata["answer_type"] == "integer":
            return str(int(response))
        if sample.metadata["answer_type"] == "float":
            return str(float(response))
    except ValueError:
        pass  # as in the original, the next rule is tried
    quoted = _QUOTED.search(response)
    return quoted.group(1) if quoted else None


def _quick(output: str, sample: Sample, rng: random.Random) -> bool:
    extraction = quick(output, sample)
    return extraction is not None and _official(extraction, sample, rng)


def tasks(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all, and over the questions that need each skill (a question may need several)."""
    skills = sorted({skill for one in scored for skill in one.sample.metadata["skills"]})
    by_skill = {
        f"skill: {skill}": mean(one for one in scored if skill in one.sample.metadata["skills"]) for skill in skills
    }
    return {"acc": mean(scored), **by_skill}


official = Reference(ORIGIN, _official, tasks, missing=None)
no_gift = Reference(f"{ORIGIN} --ignore_empty_extractions", _no_gift, tasks, missing=None)
rules = Reference(
    "lupantech/MathVista evaluation/extract_answer.py --quick_extract@53d5258 then calculate_score.py; where its "
    "language model would be asked the answer is wrong (a lower bound)",
    _quick,
    tasks,
    missing=None,
)


def _read(path: Path, samples: Sequence[Sample], name: str) -> dict[str, list[str]]:
    return named(samples, [(where, row.get("pid", row["id"]), field(where, row, name)) for where, row in objects(path)])


def extracted(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{"1": {"extraction": ...}, ...}."""
    return _read(path, samples, "extraction")


def responses(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{"1": {"response": ...}, ...}."""
    return _read(path, samples, "response")
