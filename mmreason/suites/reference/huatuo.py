"""HuatuoGPT-o1's scorer: the larger of two accuracies, by the first and by the last letter it finds.

A text without a letter goes to the option it names, else to the option most alike to it, so that nothing is unread.
Predictions (`outputs`): the JSON list that it writes, {"question", "options", "output", ...}. Questions to which the
model said nothing are left out of that list, and so of the denominator.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.predictions import collect
from mmreason.suites.reference.forms import field, objects, text
from mmreason.suites.references import Reference, Scored

ORIGIN = "FreedomIntelligence/HuatuoGPT-o1 evaluation/scorer.py@2c8d7fc"

_FINAL = "## Final Response\n\n"
_SAID = re.compile(r"answer is\s*?([A-N])")
_BEFORE = r"(?:[\u4e00-\u9fff]|is |\W|^)"
"""What may stand before a lone letter; the original lists more signs, all of which are \\W or Chinese."""


def first_and_last(output: str, options: dict[str, str]) -> tuple[str, str]:
    """The first and the last letter that the scorer sees in an output."""
    output = output.split(_FINAL)[-1]
    lone = re.compile(rf"{_BEFORE}(?![aA] )([{'ABCDEFGHIJKLMN'[: len(options)]}])(?:\W|[\u4e00-\u9fff]|$)")
    for pattern in (_SAID, lone):
        found = pattern.findall(output)
        if found:
            return found[0], found[-1]
    return _by_text(output.lower(), {letter: option.lower() for letter, option in options.items()})


def _by_text(output: str, options: dict[str, str]) -> tuple[str, str]:
    """The option that is named at the rightmost first, and at the rightmost last place; else the most alike."""
    named = [letter for letter, option in options.items() if option in output]
    if named:
        first = max(named, key=lambda letter: output.index(options[letter]))
        return first, max(named, key=lambda letter: output.rindex(options[letter]))
    alike = {letter: SequenceMatcher(None, option, output).ratio() for letter, option in options.items()}
    nearest = max(reversed(alike), key=alike.__getitem__)  # the last of equals
    return nearest, nearest


def _hit(output: str, sample: Sample, side: int) -> bool:
    return first_and_last(output, sample.answer.options)[side] == sample.answer.gold


def _first(output: str, sample: Sample, rng: random.Random) -> bool:
    return _hit(output, sample, 0)


def _last(output: str, sample: Sample, rng: random.Random) -> bool:
    return _hit(output, sample, 1)


def larger(scored: Sequence[Scored]) -> dict[str, float]:
    """The larger of the accuracies by the first and by the last letter, which the original reports, and both."""
    counted = [(one.output, one.sample) for one in scored if one.output is not None and one.value is not None]
    sides = [sum(_hit(output, sample, side) for output, sample in counted) for side in (0, 1)]
    first, last = (side / len(counted) if counted else 0.0 for side in sides)
    return {"acc": max(first, last), "first": first, "last": last}


first = Reference(f"{ORIGIN}, first letter", _first, missing=None)
last = Reference(f"{ORIGIN}, last letter", _last, missing=None)
official = Reference(f"{ORIGIN}; items by the last letter, the total by the better side", _last, larger, missing=None)


def outputs(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Answers from the original's list, matched by question and options, since its rows have no ids."""
    ids = {_key(str(s.metadata["question"]), s.answer.options): s.id for s in samples}
    found = []
    for where, row in objects(path):
        question, options = str(field(where, row, "question")), dict(field(where, row, "options"))
        name = ids.get(_key(question, options), question[:80])
        found.append((where, name, [text(field(where, row, "output"))]))
    return collect(found)


def _key(question: str, options: dict[str, str]) -> tuple[str, ...]:
    return (question.strip(), *(str(option).strip() for option in options.values()))
