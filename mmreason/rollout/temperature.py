"""A temperature of its own for the turns after the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmreason.config.recipe import Sampling
from mmreason.records import Rollout


def later(sampling: Sampling) -> Sampling:
    """How turns after the first are sampled; greedy answers stay greedy."""
    if sampling.later_temperature is None or sampling.temperature == 0.0:
        return sampling
    return sampling.model_copy(update={"temperature": sampling.later_temperature, "later_temperature": None})


def at_temperature(groups: Sequence[Sequence[Rollout]], sampling: Sampling) -> list[list[Rollout]]:
    """Answers of a later turn that tell the temperature of each token where it is not that of the first turn.

    The update divides by it token by token; one that the engine noted itself (heated tokens) stays.
    """
    if sampling.later_temperature is None or sampling.temperature == 0.0:
        return [list(group) for group in groups]
    return [[_noted(answer, sampling.later_temperature) for answer in group] for group in groups]


def _noted(answer: Rollout, temperature: float) -> Rollout:
    noted = {"temperatures": [temperature] * len(answer.ids)}
    return replace(answer, extras={**noted, **answer.extras})
