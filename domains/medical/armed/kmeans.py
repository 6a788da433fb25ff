"""k-means by Lloyd's rounds from k-means++ seeds (Arthur and Vassilvitskii 2007): some thousand vectors, no further
package, the same clusters for the same seed on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Clusters:
    """Where each vector belongs, and how far it lies from its centre."""

    labels: list[int]
    distances: list[float]
    """Squared."""


def kmeans(vectors: Sequence[Sequence[float]], number: int, seed: int, rounds: int = ROUNDS) -> Clusters:
    """Clusters of vectors [N, D] around at most `number` centres; no cluster is empty, equal vectors share one.

    Stops once no vector changes its cluster. Raises ValueError without vectors or without a cluster.
    """
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or not len(points) or number < 1:
        raise ValueError(f"{number} clusters of vectors of shape {points.shape}; expected at least one of each")
    centres = _first_centres(points, number, np.random.default_rng(seed))
    labels = _squared(points, centres).argmin(1)
    for _ in range(rounds):
        held = [label for label in range(len(centres)) if (labels == label).any()]
        centres = np.stack([points[labels == label].mean(0) for label in held])
        again = _squared(points, centres).argmin(1)
        if len(held) == int(labels.max()) + 1 and (again == labels).all():
            break
        labels = again
    near = _squared(points, centres)[np.arange(len(points)), labels]
    names = {label: place for place, label in enumerate(dict.fromkeys(labels.tolist()))}
    return Clusters([names[label] for label in labels.tolist()], near.tolist())


def _first_centres(points: Floats, number: int, rng: Any) -> Floats:
    """Points drawn one after the other, each by its squared distance to those before; fewer where all are taken."""
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < min(number, len(points)):
        away = _squared(points, points[chosen]).min(1)
        if not away.sum():
            break
        chosen.append(int(rng.choice(len(points), p=away / away.sum())))
    return points[chosen]


def _squared(points: Floats, centres: Floats) -> Floats:
    """Squared distances [N, K]; not by the expanded square, which leaves rounding where a point is its own centre."""
    return np.stack([((points - centre) ** 2).sum(1) for centre in centres], axis=1)
