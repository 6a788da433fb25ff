"""Pools of the reproduction: clean moments to imitate, and windows made wrong on purpose."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample

teacher = load_module(Path(__file__).parent / "teacher.py")

SPOILT = 0.2
"""Share of timed questions whose gold window is another one."""
_CLEAN = teacher.TeacherSettings(slip=0.0, wide=0.0)


def clean(samples: Sequence[Sample]) -> list[Sample]:
    """The moments with a teacher that makes no mistake."""
    respond = teacher.solver(_CLEAN.model_dump())
    moments = [sample for sample in samples if sample.answer.kind is AnswerKind.INTERVAL]
    return [sample.with_response(respond(sample, 0)) for sample in moments]


def spoilt(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """A fifth of the timed questions with a window of the same length that does not meet the true one, marked in the
    metadata. The rest as they are."""
    rng = random.Random(f"spoilt{seed}")
    return [_moved(sample, rng) if _timed(sample) and rng.random() < SPOILT else sample for sample in samples]


def _timed(sample: Sample) -> bool:
    return str(sample.metadata["family"]) != "what"


def _moved(sample: Sample, rng: random.Random) -> Sample:
    ((start, end),) = sample.evidence["windows"]
    last = int(sample.metadata["duration"] - 1 - (end - start))
    begins = [second for second in range(last + 1) if second > end or second + end - start < start]
    first = float(rng.choice(begins))
    windows = [[first, first + end - start]]
    answer = sample.answer
    if answer.kind is AnswerKind.INTERVAL:
        answer = replace(answer, gold=json.dumps(windows))
    return replace(sample, answer=answer, evidence={**sample.evidence, "windows": windows}).with_meta(spoilt=True)
