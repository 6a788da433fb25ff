"""The reward of a run: format and accuracy as the recipe says, or the terms that a domain declares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from mmreason.config import Domain
from mmreason.config.domain import RewardEntry
from mmreason.config.recipe import RewardSettings
from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.records import Rollout, Sample, Verdict
from mmreason.rewards.judge import SampleJudge
from mmreason.rewards.terms import Terms, score

Reward = Callable[[Rollout, Sample], Terms]
Term = Callable[[Rollout, Sample], "float | Verdict"]


def load_reward(
    settings: RewardSettings,
    domain: Domain,
    *,
    opened_think: bool = False,
    lenient: bool = False,
    judge: SampleJudge | None = None,
) -> Reward:
    """The function that scores one answer of one sample. `lenient` also reads answers without box and block.

    Without declared terms it is `score` (format and accuracy composed by `settings.mode`). Declared terms replace
    that composition: reward = (sum of weight x `add` terms, 1 without any) x (product of the `mul` terms).
    """
    declared = [(entry, load_ref(entry.term, domain.folder)) for entry in domain.file.rewards]

    def reward(answer: Rollout, sample: Sample) -> Terms:
        table = sample.evidence.get("table")
        decide = None if judge is None else lambda read, _: judge(sample, read)
        terms = score(
            answer.text, sample.answer, settings, opened_think=opened_think, lenient=lenient, table=table, judge=decide
        )
        return _declared(terms, declared, answer, sample) if declared else terms

    return reward


def _declared(terms: Terms, declared: list[tuple[RewardEntry, Term]], answer: Rollout, sample: Sample) -> Terms:
    parts = {}
    added, factor = 0.0, 1.0
    for entry, term in declared:
        value = term(answer, sample)
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
