"""MMMU-Pro's own parser: "Answer:" first, then MMMU's with looser marks, then an unseeded random letter

Predictions file: the repository's output/<model>_<setting>_<method>.jsonl, one {"id", "response", ...} a line; the
setting is taken from the file's name ("vision", "standard (4 options)", else "standard (10 options)"). The original
refuses files that do not hold exactly 1,730 rows.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.records import Sample
from mmreason.suites.predictions import collect
from mmreason.suites.reference.forms import field, mean, means, objects, text
from mmreason.suites.reference.mmmu import last_named, strip_edges
from mmreason.suites.references import Reference, Scored

ORIGIN = "MMMU-Benchmark/MMMU mmmu-pro/evaluate.py@bb0b95a (unseeded there)"
SETTINGS = ("standard (10 options)", "vision", "standard (4 options)")


def read_choice(response: str, options: dict[str, str]) -> str | None:
    """The letter that the parser finds; None where it would guess.

    Without brackets any "X " counts, within words too; several are told apart by " X " alone, so that letters found
    only within words tie and the first wins.
    """
    _, marked, tail = response.rpartition("Answer:")
    said = [letter for letter in options if letter in tail]
    if marked and len(said) == 1:
        return said[0]
    response = strip_edges(response)
    letter = last_named(response, {one: f"({one})" for one in options})
    if letter is not None:
        return letter
    for form in ("{} ", "{}."):
        found = [one for one in options if form.format(one) in response]
        if found:
            return max(found, key=lambda one: response.rfind(f" {one} "))
    if len(response.split()) <= 5:
        return None
    return last_named(response.lower(), {one: words.lower() for one, words in options.items()})


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    """One row's options lie in a list of a list: the original sees one option there, which is never the gold."""
    if sample.metadata.get("nested_options"):
        return False
    letter = read_choice(output, sample.answer.options)
    return (letter or rng.choice(list(sample.answer.options))) == sample.answer.gold


def settings(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy by setting; `overall` is the mean of standard with ten options and vision, where both were asked."""
    by_setting = means(scored, "setting")
    both = [by_setting[name] for name in SETTINGS[:2] if name in by_setting]
    overall = {"overall": sum(both) / 2} if len(both) == 2 else {"acc": mean(scored)}
    return {**overall, **by_setting}


def _total(scored: Sequence[Scored]) -> dict[str, float]:
    guessed = sum(read_choice(one.output or "", one.sample.answer.options) is None for one in scored)
    return {**settings(scored), "guessed_share": guessed / len(scored) if scored else 0.0}


official = Reference(ORIGIN, _score, _total)


def _answer(response: Any) -> str:
    return "" if isinstance(response, dict) else text(response)  # an API error stands there as an object


def responses(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"id", "response", ...}, ...] of the setting that the file's name says."""
    by_words = (SETTINGS[1] if "vision" in path.name else SETTINGS[2]) if _named_other(path.name) else SETTINGS[0]
    ids = {sample.source.row: sample.id for sample in samples if sample.metadata.get("setting") == by_words}
    rows = [(where, str(field(where, row, "id")), field(where, row, "response")) for where, row in objects(path)]
    return collect([(where, ids.get(row, row), [_answer(response)]) for where, row, response in rows])


def _named_other(name: str) -> bool:
    return "vision" in name or "4 options" in name
