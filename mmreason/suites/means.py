"""Accuracies of scored records with the interval that suits them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmreason.suites.intervals import Interval, bootstrap, cluster_bootstrap, wilson

Record = dict[str, Any]


def single(records: Sequence[Record]) -> bool:
    """Whether each question stands for itself with one answer."""
    return all(len(record["runs"]) == 1 and record["interval_by"] == "question" for record in records)


def accuracy(records: Sequence[Record], metric: str = "acc") -> Interval:
    """Mean of a metric: Wilson for one 0/1 answer a question, else bootstrap over documents (or questions)."""
    values = [record[metric] for record in records]
    if single(records):
        whole = all(value in (0.0, 1.0) for value in values)
        return wilson(round(sum(values)), len(values)) if whole else bootstrap(values)
    clusters = [record["document"] or record["id"] for record in records]
    if len(set(values)) == 1 and values[0] in (0.0, 1.0):  # resampling equal values would claim certainty
        count = len(set(clusters))
        return wilson(round(values[0] * count), count)
    return cluster_bootstrap(values, clusters)


def as_dict(interval: Interval) -> dict[str, Any]:
    """For results files, rounded."""
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in interval._asdict().items()}
