"""Relaxed correctness, by which everyone scores ChartQA. The data repository ships no scorer.

Predictions file: `answers` is JSON or JSON lines with "question_id" or "id", and "answer" or "prediction", by the ids
that our reader gives (human-0, augmented-0, ...), since the released files have none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "google-research/pix2struct pix2struct/metrics.py relaxed_correctness@5b086ef"
TOLERANCE = 0.05


def _float(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        return None


def relaxed(gold: str, said: str) -> bool:
    """Within 5 % where both are numbers and the gold is not 0, else equal but for case."""
    number, target = _float(said), _float(gold)
    if number is None or not target:
        return said.lower() == gold.lower()
    return abs(number - target) / abs(target) <= TOLERANCE


def _golds(sample: Sample) -> list[str]:
    return [sample.metadata.get("released_answer", sample.answer.gold)]


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return any(relaxed(gold, output) for gold in _golds(sample))


def _trimmed(output: str, sample: Sample, rng: random.Random) -> bool:
    said = output.strip()
    return any(relaxed(gold, said.removesuffix(".").strip()) for gold in _golds(sample))


def halves(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over all questions, then the human and the machine-made half; lmms-eval prints the same three."""
    return {"acc": mean(scored), **means(scored, "half")}


official = Reference(f"{ORIGIN}; lmms-eval tasks/chartqa/utils.py@75571cf has the same rule", _score, halves)
trimmed = Reference(f"{ORIGIN}, spaces and a final period taken off first (ours)", _trimmed, halves)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"id", "answer"}, ...]."""
    rows = objects(path)
    return named(
        samples,
        [
            (where, field(where, row, "id", "question_id"), field(where, row, "answer", "prediction"))
            for where, row in rows
        ],
    )
