"""LVBench: equality with the gold letter, before it the authors' cleaning of answers

Only questions that were answered are counted. `answers`: one object {uid: answer}.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference import mcq_extract
from mmreason.suites.reference.forms import mean, named, pairs
from mmreason.suites.references import Reference, Scored

ORIGIN = "THUDM/LVBench lvbench/metrics/compute_accuracy.py@f998d95"


def polish(output: str) -> str:
    """The first character of what stands before ')' and behind '('."""
    head = output.strip().split(")")[0].strip()
    if "(" in head:
        head = head.split("(")[1].strip()
    return head.split(" ")[0][:1]


def _exact(output: str, sample: Sample, rng: random.Random) -> bool:
    return output == sample.answer.gold


def _polished(output: str, sample: Sample, rng: random.Random) -> bool:
    return polish(output) == sample.answer.gold


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool:
    return mcq_extract.extract(output) == sample.answer.gold


def abilities(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all counted questions, and of each ability; a question may stand in several."""
    parts: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        for ability in one.sample.metadata["abilities"]:
            parts[ability].append(one)
    return {"acc": mean(scored), **{name: mean(part) for name, part in sorted(parts.items())}}


exact = Reference(f"{ORIGIN}, unanswered questions left out", _exact, abilities, missing=None)
official = Reference(f"{ORIGIN} after lvbench/utils/answer_util.py", _polished, abilities, missing=None)
lmms_eval = Reference(f"{mcq_extract.ORIGIN}, lmms_eval/tasks/lvbench/utils.py", _lmms, abilities)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{uid: answer}."""
    return named(samples, pairs(path))
