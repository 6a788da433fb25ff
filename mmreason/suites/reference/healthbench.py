"""HealthBench: points of the criteria that a reply meets, from a judge's stored labels.

The judge of the original is a model behind an endpoint, so `official` scores labels that were given before: an output
of the form {"completion": text, "criteria_met": [true, false, ...]}, one label a criterion in the order of the rubric.
Predictions (`results`): the file of all results that simple-evals writes (`*_allresults.json`), whose
`metadata.example_level_metadata` holds prompt_id, completion and rubric_items with criteria_met. Answers without labels
are judged by `mmreason.suites.judged`.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import parse_json, read_text
from mmreason.suites.reference.forms import field, named
from mmreason.suites.references import Reference, Scored

ORIGIN = "openai/simple-evals healthbench_eval.py@ee3b031"
_SHOWN = ("axis:", "theme:")
"""Tags whose means are given beside the set's score; the original gives those of every tag."""


def rubric_score(rubrics: Sequence[Mapping[str, Any]], met: Sequence[bool]) -> float | None:
    """Points of the met criteria over all positive points: at most 1, below 0 where undesired ones outweigh.

    None where no criterion has positive points. Raises ValueError for another number of labels than criteria.
    """
    possible = sum(rubric["points"] for rubric in rubrics if rubric["points"] > 0)
    achieved = sum(rubric["points"] for rubric, label in zip(rubrics, met, strict=True) if label)
    return achieved / possible if possible else None


def clipped_mean(values: Iterable[float]) -> float:
    """The mean, clipped to [0, 1] only after averaging."""
    found = list(values)
    return min(1.0, max(0.0, sum(found) / len(found))) if found else 0.0


def labels_of(output: str, sample: Sample) -> list[bool] | None:
    """The stored labels of an output; None where it has none. Raises UserError for labels of another rubric."""
    if not has_labels(output):
        return None
    met: list[bool] = json.loads(output)["criteria_met"]
    if len(met) != len(sample.evidence["rubrics"]):
        raise UserError(
            f"sample {sample.id}: {len(met)} labels for {len(sample.evidence['rubrics'])} criteria; "
            "give one true or false a criterion, in the order of the rubric"
        )
    return met


def has_labels(output: str) -> bool:
    """Whether an output carries a judge's labels."""
    try:
        value = json.loads(output) if output.startswith("{") else None
    except (ValueError, RecursionError):
        return False
    labels = value.get("criteria_met") if isinstance(value, dict) else None
    return isinstance(labels, list) and all(isinstance(label, bool) for label in labels)


def _official(output: str, sample: Sample, rng: random.Random) -> float | None:
    met = labels_of(output, sample)
    return None if met is None else rubric_score(sample.evidence["rubrics"], met)


def axis_scores(rubrics: Sequence[Mapping[str, Any]], met: Sequence[bool]) -> dict[str, float]:
    """Tag of criteria -> the score of those criteria alone, for tags with positive points."""
    parts: dict[str, list[tuple[Mapping[str, Any], bool]]] = defaultdict(list)
    for rubric, label in zip(rubrics, met, strict=True):
        for tag in rubric["tags"]:
            parts[tag].append((rubric, label))
    scores = {tag: rubric_score(*zip(*part, strict=True)) for tag, part in parts.items()}
    return {tag: score for tag, score in scores.items() if score is not None}


def _numbers(scored: Sequence[Scored]) -> dict[str, float]:
    """The set's score, then each axis and each theme, every mean clipped."""
    parts: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        met = labels_of(one.output, one.sample) if one.output else None
        if met is None or one.value is None:
            continue
        parts["score"].append(one.value)
        tags = {tag: one.value for tag in one.sample.metadata.get("example_tags", [])}
        for tag, value in (tags | axis_scores(one.sample.evidence["rubrics"], met)).items():
            parts[tag].append(value)
    kept = {tag: clipped_mean(values) for tag, values in parts.items() if tag.startswith(("score", *_SHOWN))}
    return {"score": 0.0} | kept


official = Reference(f"{ORIGIN}, from stored labels", _official, _numbers, missing=None, applies=has_labels)


def clipped(scored: Sequence[Scored]) -> dict[str, float]:
    """The strict headline: the mean of the judged scores, clipped after averaging."""
    return {"score": clipped_mean(one.value or 0.0 for one in scored)}


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Replies with their labels from a results file of simple-evals. Raises UserError for a file of another shape."""
    value = parse_json(read_text(path), str(path))
    rows = value.get("metadata", {}).get("example_level_metadata") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise UserError(f"{path} has no metadata.example_level_metadata; give the file of all results")
    places = [(f"{path} example {number}", row) for number, row in enumerate(rows, start=1)]
    return named(samples, ((where, field(where, row, "prompt_id"), _labelled(where, row)) for where, row in places))


def _labelled(where: str, row: dict[str, Any]) -> str:
    said = field(where, row, "completion")
    text = said[-1]["content"] if isinstance(said, list) and said else str(said)
    met = [item["criteria_met"] for item in field(where, row, "rubric_items")]
    return json.dumps({"completion": text, "criteria_met": met}, ensure_ascii=False)
