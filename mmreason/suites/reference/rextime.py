"""ReXTime: choice, moment, and both together, by the authors' evaluation

`submission`: JSON lines {"qid", "pred_relevant_windows": [[start, end]], "ans": letter}, either of the two optional.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import read_lines
from mmreason.suites.reference.forms import field, named
from mmreason.suites.reference.grounding import span_iou
from mmreason.suites.reference.nextgqa import official as grounded_choice
from mmreason.suites.reference.spans import gold_windows, grounded, one_window_iou, raw_windows
from mmreason.suites.references import Reference, Scored

ORIGIN = "ReXTime/ReXTime evaluation/rextime_eval.py@cb9f484"
_LEVELS = (0.3, 0.5, 0.7)


def _figures(ious: Sequence[float], right: Sequence[bool]) -> dict[str, float]:
    count = len(ious) or 1
    both = {
        f"VQA,mIoU@{level}": sum(iou >= level and hit for iou, hit in zip(ious, right, strict=True)) / count
        for level in _LEVELS
    }
    recall = {f"R1@{level}": sum(iou >= level for iou in ious) / count for level in _LEVELS}
    return {"VQA": sum(right) / count, "mIoU": sum(ious) / count, **recall, **both}


def _official(scored: Sequence[Scored]) -> dict[str, float]:
    """The first window of each answer against the gold window it fits best."""
    ious = []
    for one in scored:
        said = raw_windows(one.output)
        ious.append(max(span_iou(gold, said[0]) for gold in gold_windows(one.sample)) if said else 0.0)
    return _figures(ious, [bool(one.value) for one in scored])


def table(scored: Sequence[Scored]) -> dict[str, float]:
    """Strict: several windows where one was asked for, and unread letters, score 0."""
    return _figures([one_window_iou(one.output, one.sample) for one in scored], [one.value == 1.0 for one in scored])


def _choice(output: str, sample: Sample, rng: random.Random) -> float | bool | None:
    return grounded_choice.score(output, sample, rng)


official = Reference(ORIGIN, _choice, _official)


def submission(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' submission file."""
    return named(samples, ((where, field(where, row, "qid"), _output(where, row)) for where, row in read_lines(path)))


def _output(where: str, row: dict[str, Any]) -> str:
    windows = row.get("pred_relevant_windows", [])
    if not isinstance(windows, list) or not all(isinstance(one, list) and len(one) >= 2 for one in windows):
        raise UserError(f"{where}: pred_relevant_windows is {windows!r:.80}, expected a list of [start, end]")
    return grounded(str(row.get("ans", "")), [window[:2] for window in windows[:1]])
