"""QVHighlights: moment retrieval and highlight detection by the authors' evaluation

`submission`: JSON lines {"qid", "pred_relevant_windows": [[start, end, score], ...], "pred_saliency_scores": [...]},
the scores optional. An output keeps them in front of its answer, which is the first window, as
`<ranked>{...}</ranked><answer>[[start, end]]</answer>`; an output without them counts its windows in the order given.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import read_lines
from mmreason.suites.reference.forms import field, named
from mmreason.suites.reference.spans import gold_windows, said_windows
from mmreason.suites.references import Reference, Scored

ORIGIN = "jayleicn/moment_detr standalone_eval/eval.py@b7e553a"

_OPEN, _CLOSE = "<ranked>", "</ranked>"
_LEVELS = [round(0.5 + 0.05 * step, 2) for step in range(10)]
_LENGTHS = {"full": (0, 150), "short": (0, 10), "middle": (10, 30), "long": (30, 150)}
"""Range of gold window lengths in seconds, the lower bound excluded."""
_GRADES = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""Least rating of a highlight."""
_MOST = 10
"""Windows of an answer that count."""
_CLIP = 2
"""Seconds of one rated clip."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What an answer says of one query."""

    windows: np.ndarray
    """float64 [n, 3]: start, end, score, in the order given."""
    saliency: list[float]
    """One score a clip, or none."""


def ranking(output: str | None) -> Ranking | None:
    """The ranked windows of an output; None if it has none."""
    kept = _kept(output or "")
    if kept is not None:
        rows = [[float(one) for one in row] for row in kept["pred_relevant_windows"][:_MOST]]
        return Ranking(np.array(rows), kept.get("pred_saliency_scores", []))
    said = said_windows(output)
    rows = [[start, end, -float(place)] for place, (start, end) in enumerate((said or [])[:_MOST])]
    return Ranking(np.array(rows), []) if rows else None


def _kept(output: str) -> dict[str, Any] | None:
    """The ranked windows and scores in front of an output; None where there are none, or none that make sense."""
    body, closed, _ = output.removeprefix(_OPEN).partition(_CLOSE)
    if not output.startswith(_OPEN) or not closed:
        return None
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _fault(value) is None else None


def _fault(row: dict[str, Any]) -> str | None:
    """What is wrong with ranked windows and scores."""
    windows, scores = row.get("pred_relevant_windows"), row.get("pred_saliency_scores", [])
    if not isinstance(windows, list) or not windows or not all(_numbers(one) and len(one) == 3 for one in windows):
        return f"pred_relevant_windows is {windows!r:.80}, expected a list of [start, end, score]"
    return None if _numbers(scores) else f"pred_saliency_scores is {scores!r:.80}, expected a list of numbers"


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, int | float) for one in value)


def _cross(said: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """IoU of each pair, [n, m]."""
    left, right = np.maximum(said[:, None, 0], gold[None, :, 0]), np.minimum(said[:, None, 1], gold[None, :, 1])
    common = np.clip(right - left, 0, None)
    return np.asarray(common / ((said[:, 1] - said[:, 0])[:, None] + (gold[:, 1] - gold[:, 0])[None, :] - common))


def _first_iou(said: np.ndarray, gold: np.ndarray) -> float:
    """Of the first window and the gold one that fits it best, over the length from first to last bound."""
    window, match = said[0, :2], gold[np.argmax(_cross(said[:1, :2], gold)[0])]
    common = max(0.0, min(window[1], match[1]) - max(window[0], match[0]))
    hull = max(window[1], match[1]) - min(window[0], match[0])
    return float(common / hull) if hull != 0 else 0.0


def average_precision(said: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Interpolated average precision at the ten levels, each gold window matched once, [10]."""
    order = np.argsort(-said[:, 2], kind="stable")
    overlap = _cross(said[order, :2], gold)
    return np.array([_precision(_hits(overlap, level), len(gold)) for level in _LEVELS])


def _hits(overlap: np.ndarray, level: float) -> np.ndarray:
    """Which windows, best score first, take a gold window that is still free, bool [n]."""
    taken: set[int] = set()
    hits = np.zeros(len(overlap), dtype=bool)
    for place, row in enumerate(overlap):
        free = (index for index in row.argsort()[::-1] if row[index] >= level and int(index) not in taken)
        match = next(free, None)
        if match is not None:
            taken.add(int(match))
            hits[place] = True
    return hits


def _precision(hits: np.ndarray, golds: int) -> float:
    """Area under the precision envelope."""
    found = np.cumsum(hits).astype(float)
    recall = np.hstack([[0], found / golds, [1]])
    precision = np.hstack([[0], found / np.arange(1, len(hits) + 1), [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.where(recall[1:] != recall[:-1])[0] + 1
    return float(np.sum((recall[step] - recall[step - 1]) * precision[step]))


def retrieval(scored: Sequence[Scored], lengths: tuple[int, int] = _LENGTHS["full"]) -> dict[str, np.ndarray]:
    """Recall of the first window and average precision at the ten levels, over queries with gold of these lengths.

    A query without any answer scores 0.
    """
    low, high = lengths
    recall, precision = [], []
    for one in scored:
        gold = np.array([w for w in gold_windows(one.sample) if lengths == (0, 150) or low < w[1] - w[0] <= high])
        if not len(gold):
            continue
        said = ranking(one.output)
        recall.append(np.array(_LEVELS) <= (_first_iou(said.windows, gold) if said else -1.0))
        precision.append(average_precision(said.windows, gold) if said else np.zeros(len(_LEVELS)))
    if not recall:
        return {"R1": np.zeros(len(_LEVELS)), "mAP": np.zeros(len(_LEVELS))}
    return {"R1": np.mean(recall, axis=0), "mAP": np.mean(precision, axis=0)}


def ratings(sample: Sample) -> np.ndarray:
    """Ratings of all clips of a video, 0 outside the moments, [clips, 3]."""
    found = np.zeros((int(sample.metadata["duration"] / _CLIP), 3))
    found[np.array(sample.evidence["relevant_clip_ids"])] = np.array(sample.evidence["saliency_scores"])
    return found


def clip_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Average precision of scores against 0/1 truth, precision interpolated and averaged over the recalls reached."""
    if len(set(truth)) == 1:
        return float(truth[0])
    fitted = np.zeros(len(truth))
    fitted[: len(scores)] = scores[: len(truth)]
    order = np.argsort(fitted, kind="mergesort")[::-1]
    ends = np.r_[np.where(np.diff(fitted[order]))[0], len(order) - 1]  # the last of each run of equal scores
    found = np.cumsum(truth[order])[ends]
    recall = np.r_[0.0, found / found[-1]].astype(np.float32)
    precision = np.r_[1.0, found / (ends + 1)]
    lowest_first = np.maximum.accumulate(precision[::-1])  # from full recall down to none
    return float(np.mean(lowest_first[np.where(np.diff(recall[::-1]))]))


def highlights(scored: Sequence[Scored]) -> dict[str, float]:
    """Average precision and hit rate of the best clip, for each grade; empty where no answer rates clips."""
    said = [(ranking(one.output), ratings(one.sample)) for one in scored]
    if not any(one and one.saliency for one, _ in said):
        return {}
    found: dict[str, float] = {}
    for name, least in _GRADES.items():
        graded = [_graded(rank.saliency if rank else [], (rated >= least).astype(float)) for rank, rated in said]
        precision, hit = np.mean(graded, axis=0)
        found |= {f"HL-min-{name}-mAP": float(precision), f"HL-min-{name}-Hit1": float(hit)}
    return found


def _graded(saliency: list[float], truth: np.ndarray) -> tuple[float, float]:
    """Mean average precision over the three raters, and whether any of them marked the best clip; truth [clips, 3]."""
    if not saliency:
        return 0.0, 0.0
    scores = np.array(saliency)
    top = int(np.argmax(scores))
    precision = [clip_precision(truth[:, rater], scores) for rater in range(truth.shape[1])]
    return float(np.mean(precision)), float(truth[top].max()) if top < len(truth) else 0.0


def table(scored: Sequence[Scored]) -> dict[str, float]:
    """The authors' brief table as shares; every query counts."""
    full = retrieval(scored)
    at = {level: place for place, level in enumerate(_LEVELS)}
    parts = {name: retrieval(scored, _LENGTHS[name])["mAP"].mean() for name in ("short", "middle", "long")}
    brief = {
        "MR-full-mAP": full["mAP"].mean(),
        "MR-full-R1@0.5": full["R1"][at[0.5]],
        "MR-full-R1@0.7": full["R1"][at[0.7]],
        "MR-full-mAP@0.5": full["mAP"][at[0.5]],
        "MR-full-mAP@0.75": full["mAP"][at[0.75]],
        **{f"MR-{name}-mAP": value for name, value in parts.items()},
    }
    return {name: float(value) for name, value in brief.items()} | highlights(scored)


def _iou(output: str, sample: Sample, rng: random.Random) -> float:
    said = ranking(output)
    return _first_iou(said.windows, np.array(gold_windows(sample))) if said else 0.0


official = Reference(f"{ORIGIN}, eval_submission", _iou, table)


def submission(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' submission file."""
    return named(samples, ((where, field(where, row, "qid"), _output(where, row)) for where, row in read_lines(path)))


def _output(where: str, row: dict[str, Any]) -> str:
    fault = _fault(row)
    if fault is not None:
        raise UserError(f"{where}: {fault}")
    windows = row["pred_relevant_windows"]
    kept = {"pred_relevant_windows": windows, "pred_saliency_scores": row.get("pred_saliency_scores", [])}
    return f"{_OPEN}{json.dumps(kept)}{_CLOSE}<answer>{json.dumps([windows[0][:2]])}</answer>"
