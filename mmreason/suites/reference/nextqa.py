"""NExT-QA, multiple choice: the authors' equality by type of question, and lmms-eval's guessing parser.

`answers`: {"<video>_<number>": {"prediction": index, "answer": index}}, as the authors' evaluation takes it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "doc-doc/NExT-GQA code/TempGQA/eval_next.py@63772e0"
LMMS = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/nextqa/utils.py@75571cf, unread answers guessed"

LETTERS = "ABCDE"
_EDGES = ",.!?;:'"
_MERGED = {"TP": "TN"}
"""Questions on what came before and after are one type."""


def by_type(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all questions, of causal, temporal and descriptive ones, and of each type."""
    parts: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        kind = _MERGED.get(one.sample.metadata["type"], one.sample.metadata["type"])
        parts[kind].append(one)
        parts[kind[0]].append(one)
    return {"acc": mean(scored), **{kind: mean(part) for kind, part in sorted(parts.items())}}


def _exact(output: str, sample: Sample, rng: random.Random) -> bool:
    return output == sample.answer.gold


def read_letter(output: str, options: dict[str, str]) -> str | None:
    """In brackets, else before a blank, else before a full stop, else by option text; None where it would guess.

    Of several letters the one whose last occurrence between blanks comes last counts, the first where none stands so.
    """
    said = output
    for mark in _EDGES:
        said = said.strip(mark)
    said = f" {said} "
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in options if form.format(letter) in said]
        if found:
            return max(found, key=lambda letter: said.rfind(place.format(letter)))
    if len(said.split()) <= 5:
        return None
    lower = said.lower()
    found = [letter for letter, text in options.items() if text.lower() in lower]
    return max(found, key=lambda letter: lower.rfind(options[letter].lower()), default=None)


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool:
    options = {letter: text.strip() for letter, text in sample.answer.options.items()}
    return (read_letter(output, options) or rng.choice(list(options))) == sample.answer.gold


official = Reference(ORIGIN, _exact, by_type)
lmms_eval = Reference(LMMS, _lmms, by_type)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Indices as letters."""
    return named(samples, ((where, field(where, row, "id"), letter_of(where, row)) for where, row in objects(path)))


def letter_of(where: str, row: dict[str, Any]) -> str:
    """The predicted index as letter. Raises UserError for anything that is no index."""
    index = field(where, row, "prediction")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(LETTERS):
        raise UserError(f"{where}: prediction is {index!r}, expected an index from 0 to {len(LETTERS) - 1}")
    return LETTERS[index]
