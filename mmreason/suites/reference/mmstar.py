"""MMStar's prefix rule

Predictions file: `predictions` is the repository's sheet as JSON or JSON lines, rows with "index" and "prediction"
(the authors keep it as .xlsx; save it as one of those).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "MMStar-Benchmark/MMStar eval/vlmeval/evaluate/mmstar.py@88f243a"
_HEADS = ("", "(", "option ", "the answer is ")


def _plain(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def right(output: str, gold: str) -> bool:
    """The letter is the first character, or the first behind one of three beginnings."""
    said, letter = _plain(output), _plain(gold)
    return any(said.startswith(head) and said[len(head) : len(head) + 1] == letter for head in _HEADS)


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return right(output, sample.answer.gold)


def abilities(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all, and by ability; with all 1,500 the first is the mean of the others."""
    return {"acc": mean(scored), **means(scored, "category")}


official = Reference(ORIGIN, _score, abilities)


def predictions(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"index", "prediction", ...}, ...]."""
    rows = objects(path)
    return named(samples, [(where, field(where, row, "index"), field(where, row, "prediction")) for where, row in rows])
