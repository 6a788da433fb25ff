"""LongVideoBench: the authors' scorer in lmms-eval, random letters for unread answers included

`submission`: one object {released id: answer}, as the tasks write it for the leaderboard.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import mean, means, named, pairs
from mmreason.suites.references import Reference, Scored

ORIGIN = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/longvideobench/utils.py@75571cf"

_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)


def first_letter(output: str) -> str | None:
    """The first of A to E after the known phrases are cut out, inside words too; None where the original guesses."""
    for prefix in _PREFIXES:
        output = output.replace(prefix, "")
    found = re.search("[ABCDE]", output)
    return found[0] if found else None


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    letter = first_letter(output.strip())
    return (letter or rng.choice(list(sample.answer.options))) == sample.answer.gold


def durations(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all questions and by duration group (seconds)."""
    found = sorted(means(scored, "duration_group").items(), key=lambda pair: int(pair[0]))
    return {"acc": mean(scored), **{f"{group}s": value for group, value in found}}


official = Reference(f"{ORIGIN}, unread answers guessed", _official, durations)


def submission(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{released id: answer}."""
    return named(samples, pairs(path))
