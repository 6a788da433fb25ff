"""The reward of a run: format and accuracy as the recipe says, or the terms that a domain declares."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mmreason.config import Domain
from mmreason.config.recipe import RewardSettings
from mmreason.config.task import RewardEntry
from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.records import Rollout, Sample, Verdict
from mmreason.rewards.judge import SampleJudge
from mmreason.rewards.terms import Terms, score

Term = Callable[..., "float | Verdict | Terms"]
"""term(rollout, sample), with `progress` and `options` by name where it has such parameters."""
_BY_NAME = ("progress", "options")


class Reward(Protocol):
    """Scores one answer to one sample."""

    def __call__(self, rollout: Rollout, sample: Sample, progress: float = 1.0) -> Terms:
        """`progress` is the share of the training steps begun, for terms on a schedule; evaluation stands at the
        end."""
        ...


def load_reward(
    settings: RewardSettings,
    domain: Domain,
    options: Mapping[str, Any] | None = None,
    *,
    opened_think: bool = False,
    lenient: bool = False,
    judge: SampleJudge | None = None,
) -> Reward:
    """The function that scores one answer of one sample. `lenient` also reads answers without box and block.

    Without declared terms it is `score` (format and accuracy composed by `settings.mode`). Declared terms replace
    that composition: reward = (sum of weight x `add` terms, 1 without any) x (product of the `mul` terms). `options`
    are the recipe's, for terms that take them.
    """
    declared = [(entry, _bound(load_ref(entry.term, domain.folder), options or {})) for entry in domain.file.rewards]

    def reward(rollout: Rollout, sample: Sample, progress: float = 1.0) -> Terms:
        table = sample.evidence.get("table")
        decide = None if judge is None else lambda read, _: judge(sample, read)
        terms = score(
            rollout.text, sample.answer, settings, opened_think=opened_think, lenient=lenient, table=table, judge=decide
        )
        return _declared(terms, declared, rollout, sample, progress) if declared else terms

    return reward


def _bound(term: Term, options: Mapping[str, Any]) -> Term:
    """The term as a function of rollout, sample and progress."""
    taken = [name for name in _BY_NAME if name in inspect.signature(term).parameters]
    if "options" in taken:
        term = partial(term, options=options)
    if "progress" in taken:
        return lambda rollout, sample, progress: term(rollout, sample, progress=progress)
    return lambda rollout, sample, progress: term(rollout, sample)


def _declared(
    terms: Terms, declared: list[tuple[RewardEntry, Term]], rollout: Rollout, sample: Sample, progress: float
) -> Terms:
    parts: dict[str, float] = {}
    added, factor = 0.0, 1.0
    for entry, term in declared:
        value = term(rollout, sample, progress)
        if isinstance(value, Terms):
            terms, value = value, value.reward
            parts |= terms.parts
        if isinstance(value, Verdict):
            terms = replace(terms, verdict=value, accuracy=value.score)
            value = value.score
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"reward {entry.term} gave {value!r} for sample {sample.id}; expected a finite number")
        parts[entry.term] = float(value)
        if entry.combine == "mul":
            factor *= value
        else:
            added += entry.weight * value
    if all(entry.combine == "mul" for entry, _ in declared):
        added = 1.0
    return replace(terms, reward=added * factor, parts=parts)
