"""Intervals for scores: Wilson for shares, percentile bootstrap for means and clusters, McNemar for pairs.

All are two-sided at 95 % unless told; bootstraps are seeded, so a score has one interval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000


class Interval(NamedTuple):
    """A point estimate with its bounds and how they were got."""

    mean: float
    low: float
    high: float
    method: str


def wilson(right: int, total: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a share. Raises ValueError for an empty sample: there is no share to speak of."""
    if total < 1 or not 0 <= right <= total:
        raise ValueError(f"wilson needs 0 <= right <= total and total > 0, got {right} of {total}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, z2 = right / total, z * z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), "wilson")


def bootstrap(values: Sequence[float], level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap of a mean over independent values."""
    return cluster_bootstrap(values, range(len(values)), level, seed)._replace(method="bootstrap")


def cluster_bootstrap(
    values: Sequence[float], clusters: Sequence[Hashable], level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap of a mean that resamples whole clusters (documents, or the runs of one question).

    A resample's mean is its sum over its count, so clusters of unequal size keep their weight.
    """
    if not values or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values for {len(clusters)} cluster labels")
    index = {label: position for position, label in enumerate(dict.fromkeys(clusters))}
    where = np.array([index[label] for label in clusters])
    sums = np.bincount(where, weights=np.asarray(values, dtype=float))  # [clusters]
    counts = np.bincount(where)
    draws = np.random.default_rng(seed).integers(len(index), size=(RESAMPLES, len(index)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)  # [RESAMPLES]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(values)), float(low), float(high), "cluster bootstrap")


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar p-value from the two discordant counts (binomial with p = 1/2); 1.0 without any."""
    total = only_a + only_b
    if total == 0:
        return 1.0
    tail = sum(math.comb(total, k) for k in range(min(only_a, only_b) + 1))
    return float(min(1.0, 2 * tail / 2**total))


def stderr(values: Sequence[float]) -> float | None:
    """Standard error of a mean with the n - 1 divisor, as lm-eval reports it; None below two values."""
    if len(values) < 2:
        return None
    return float(np.std(np.asarray(values, dtype=float), ddof=1) / math.sqrt(len(values)))
