"""PubMedQA: accuracy and macro-F1 of decisions; the original takes exactly the words yes, no and maybe.

Predictions (`decisions`): one JSON object {pmid: decision}, of all 500 test questions in the original.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.rewards.grade import read
from mmreason.rewards.judgement import labels_of, read_label
from mmreason.suites.reference.forms import named, pairs
from mmreason.suites.references import Reference, Scored
from mmreason.suites.rules import cut

ORIGIN = "pubmedqa/pubmedqa evaluation.py@1cbae8e"
DECISIONS = ("yes", "no", "maybe")


def macro_f1(truth: Sequence[str], said: Sequence[str | None], labels: Sequence[str]) -> float:
    """Plain mean of the F1 of each label, as scikit-learn's f1_score(average="macro"); 0 for a label never said."""
    return sum(_f1(truth, said, label) for label in labels) / len(labels)


def _f1(truth: Sequence[str], said: Sequence[str | None], label: str) -> float:
    hits = sum(gold == one == label for gold, one in zip(truth, said, strict=True))
    both = sum(gold == label for gold in truth) + sum(one == label for one in said)
    return 2 * hits / both if both else 0.0


def _numbers(said: Callable[[str], str]) -> Callable[[Sequence[Scored]], dict[str, float]]:
    """Accuracy and macro-F1 over the labels that occur on either side: a foreign word is a label with F1 0."""

    def total(scored: Sequence[Scored]) -> dict[str, float]:
        truth = [one.sample.answer.gold for one in scored]
        answers = ["" if one.output is None else said(one.output) for one in scored]
        labels = sorted({*truth, *answers})
        right = sum(gold == one for gold, one in zip(truth, answers, strict=True))
        return {"accuracy": right / len(truth), "macro_f1": macro_f1(truth, answers, labels)}

    return total


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    return output == sample.answer.gold


def _read(output: str, sample: Sample, rng: random.Random) -> bool:
    return _word(output) == sample.answer.gold


def _word(output: str) -> str:
    return cut(output).strip().lower().rstrip(".")


official = Reference(ORIGIN, _official, _numbers(str))
answer = Reference(f"{ORIGIN}, on the answer as we cut it, lower case and without a period", _read, _numbers(_word))


def strict(scored: Sequence[Scored]) -> dict[str, float]:
    """Macro-F1 over yes, no and maybe of the decisions that the strict mode reads; an unread one is none of them."""
    truth = [one.sample.answer.gold for one in scored]
    said = [_decision(one) for one in scored]
    return {"macro_f1": macro_f1(truth, said, DECISIONS)}


def _decision(one: Scored) -> str | None:
    """The decision; where the verdict says right it is the gold, however the answer was read."""
    if one.value:
        return one.sample.answer.gold
    text = read(one.output, one.sample.answer, lenient=True).text if one.output else None
    label = read_label(text, labels_of(one.sample.answer)) if text else None
    return None if label == one.sample.answer.gold else label


def decisions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The original's predictions file."""
    return named(samples, pairs(path))
