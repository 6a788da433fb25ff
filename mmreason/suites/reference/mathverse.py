"""MathVerse's sums over judgements 0/1 and its exact-match shortcut; both language-model steps are left out

Predictions files: `judged` is the scorer's result, rows with "sample_index" and "judgement"; `extracted` the same with
"extraction"; `answers` the output template, with "model_answer".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "ZrrSkywalker/MathVerse evaluation/score_answer_s2.py@937b090"
TEXT_ONLY = "Text Only"


def _judgement(output: str, sample: Sample, rng: random.Random) -> bool:
    return output.strip() == "1"


def _same(output: str, sample: Sample, rng: random.Random) -> bool:
    return output == str(sample.metadata["released_answer"])


def versions(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over the five versions (Text Only stays out of it), each version, and each subject."""
    five = [one for one in scored if one.sample.metadata["problem_version"] != TEXT_ONLY]
    return {"acc": mean(five), **means(scored, "problem_version"), **means(five, "subject")}


official = Reference(
    f"{ORIGIN}, on stored judgements", _judgement, versions, applies=lambda output: output.strip() in ("0", "1")
)
quick_match = Reference(f"{ORIGIN} --quick_match, on stored extractions", _same, versions)


def _read(path: Path, samples: Sequence[Sample], name: str) -> dict[str, list[str]]:
    rows: list[tuple[str, Any, Any]] = [
        (where, field(where, row, "sample_index"), field(where, row, name)) for where, row in objects(path)
    ]
    return named(samples, rows)


def judged(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"sample_index", "judgement"}, ...]."""
    return _read(path, samples, "judgement")


def extracted(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"sample_index", "extraction"}, ...]."""
    return _read(path, samples, "extraction")


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"sample_index", "model_answer"}, ...]."""
    return _read(path, samples, "model_answer")
