"""Settings of Temporal-R1 in a recipe's `options: {temporal_r1: {...}}`.

Values of the released code [repo: appletea233/Temporal-R1 f364f6c] or of arXiv 2506.01908 [paper]; what neither tells
is [reconstructed], with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate

KEY = "temporal_r1"


class Reading(StrEnum):
    """How an output is read."""

    LAST = "last"
    """Ours: the only answer block behind the reasoning; of several the last, and then the format earns nothing."""
    AS_CODED = "as_coded"
    """The released scorers with all their edges; for comparison."""


class Temporal(StrEnum):
    """What the time of an answer earns."""

    IOU = "iou"
    """Continuous overlap [repo]: the method."""
    THRESHOLD = "threshold"
    """1 from `threshold` on; stands in the released file as a disabled line."""
    TIME_R1 = "time_r1"
    """IoU x (1 - |start error| / length) x (1 - |end error| / length), of a relative (arXiv 2503.13377)."""


class Dual(StrEnum):
    """How the two parts of a grounded answer make one number."""

    MEAN = "mean"
    """Half of each [reconstructed]: keeps every kind of question in [0, 1]."""
    GATED = "gated"
    """accuracy x overlap: no credit for the time of a wrong answer; to ablate."""
    SUM = "sum"
    """accuracy + overlap, in [0, 2]; to ablate."""


class TemporalSettings(Strict):
    """The reward. Every value is a choice that an arm of the reproduction may change."""

    reading: Reading = Reading.LAST
    """[reconstructed] Answers of trained models are graded as evaluation grades them, not by the first block found."""
    temporal: Temporal = Temporal.IOU
    threshold: float = Field(default=0.5, gt=0, le=1)
    """IoU for Temporal.THRESHOLD; 0.5 in the disabled line, 0.7 the stricter arm."""
    dual: Dual = Dual.MEAN
    format_weight: float = Field(default=0.5, ge=0, lt=1)
    """Share of the format; the task has the rest [repo]."""
    thinking: bool = True
    """Whether the format asks for a think block [repo]; off: the answer block alone (thinking-free RL, TimeLens)."""


def settings_of(options: Mapping[str, Any]) -> TemporalSettings:
    """The recipe's settings. Raises UserError naming a wrong key or value."""
    return validate(TemporalSettings, dict(options.get(KEY, {})), f"options.{KEY}")
