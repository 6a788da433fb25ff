"""MMLU-Pro: two levels of patterns with a random letter where both fail, and lm-eval's single pattern.

Predictions (`outputs`): the JSON list that the original writes, {"question_id", "category", "model_outputs", ...}, its
older files with "generated_text"; rows of other categories than the suite's are passed over.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, named, objects
from mmreason.suites.references import Reference, Rule, Scored

ORIGIN = "TIGER-AI-Lab/MMLU-Pro compute_accuracy.py@f418b11"
SEED = 12345
LETTERS = "ABCDEFGHIJ"

_SAID = re.compile(r"answer is \(?([A-J])\)?")
_LABEL = re.compile(r"[aA]nswer:\s*([A-J])")
_LONE = re.compile(r"\b[A-J]\b")


def first_level(output: str) -> str | None:
    """The letter of the first "answer is (X)"."""
    hit = _SAID.search(output)
    return hit.group(1) if hit else None


def second_level(output: str) -> str | None:
    """As `first_level`; else the last "answer: X" of the first line that has one; else the last lone letter A to J."""
    said = first_level(output)
    if said is not None:
        return said
    labels = list(_LABEL.finditer(output))
    if labels:
        line = output.find("\n", labels[0].start()) % (len(output) + 1)  # -1: the text ends in this line
        return [label.group(1) for label in labels if label.start() < line][-1]
    return next(reversed(_LONE.findall(output)), None)


@dataclass(frozen=True, slots=True)
class _After(Reference):
    """A scorer whose original has drawn for another rule over all answers before its own."""

    before: Rule | None = None

    def run(self, outputs: Sequence[str | None], samples: Sequence[Sample]) -> list[Scored]:
        rng, pairs = random.Random(self.seed), list(zip(outputs, samples, strict=True))
        for rule in (self.before, self.score):
            values = [self.missing if said is None or rule is None else rule(said, s, rng) for said, s in pairs]
        numbers = [None if value is None else float(value) for value in values]
        return [Scored(sample, said, value) for (said, sample), value in zip(pairs, numbers, strict=True)]


def _level1(output: str, sample: Sample, rng: random.Random) -> bool:
    return (first_level(output) or rng.choice(LETTERS)) == sample.answer.gold


def _level2(output: str, sample: Sample, rng: random.Random) -> bool:
    return (second_level(output) or rng.choice(LETTERS)) == sample.answer.gold


def _local(output: str, sample: Sample, rng: random.Random) -> bool:
    said = second_level(output)
    return (said or ascii_uppercase[rng.randint(0, len(sample.answer.options) - 1)]) == sample.answer.gold


def _lm_eval(output: str, sample: Sample, rng: random.Random) -> bool:
    return first_level(output) == sample.answer.gold


level1 = Reference(f"{ORIGIN}, level 1; random over A-J", _level1, seed=SEED, missing=None)
level2 = _After(f"{ORIGIN}, level 2; random over A-J", _level2, seed=SEED, missing=None, before=_level1)
local = _After(
    "TIGER-AI-Lab/MMLU-Pro evaluate_from_local.py@f418b11, one subject; random over the options",
    *(_local,),
    seed=SEED,
    before=_local,
)
lm_eval = Reference("EleutherAI/lm-evaluation-harness lm_eval/tasks/mmlu_pro (v3.1)@4e7e0d4", _lm_eval)


def outputs(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Answers from a results file of the original. Raises UserError for a row without id or output."""
    category = samples[0].source.split
    rows = [(where, row) for where, row in objects(path) if row.get("category", category) == category]
    return named(
        samples,
        ((w, field(w, row, "question_id"), field(w, row, "model_outputs", "generated_text")) for w, row in rows),
    )
