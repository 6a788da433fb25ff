"""Which RL prompts to keep, from several answers of the start model to each: pure rules, no model.

A question is described by the credit of its answers without the format part: 0 or 1, the IoU of a moment, the mean of
both for a grounded answer. Spread and mean are taken over the answers that could be read, since a badly parsed answer
is no low one; how many could not is judged by itself. Every question leaves with a reason or stays with its numbers.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, pstdev
from typing import Any, TypeVar

from mmreason.config.selection import Rule, Selection
from mmreason.records import Sample

K = TypeVar("K")
Strata = tuple[str, str, int]
"""Type, source and bucket of length."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One answer of the start model. `text` is kept so that other rules need no new answers."""

    text: str
    credit: float
    """Without the format part, in [0, 1]."""
    right: bool
    """Well-formed and right."""
    unread: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """What the answers to one question tell."""

    mean: float
    sigma: float
    """Population deviation."""
    best: float
    hits: int
    unread: float
    """Share of all answers."""


def spread(trials: Sequence[Trial], solved: float = 0.5) -> Spread:
    """Over the answers that could be read; a question without any has no spread and no credit."""
    read = [trial.credit for trial in trials if not trial.unread]
    unread = 1 - len(read) / len(trials)
    hits = sum(credit >= solved for credit in read)
    return Spread(fmean(read), pstdev(read), max(read), hits, unread) if read else Spread(0.0, 0.0, 0.0, 0, unread)


def fault(seen: Spread, rule: Selection, k: int) -> str:
    """Why a question is dropped before any is drawn; empty where it may stay."""
    if rule.rule in (Rule.RANDOM, Rule.LOWEST):
        return ""
    if seen.unread > rule.unread_most:
        return "unread"
    if rule.rule is Rule.UNSOLVED:
        return "solved" if seen.hits else ""
    if rule.rule is Rule.RITA:
        return "" if seen.hits else "all_wrong"
    if seen.best < rule.best_least:
        return "never_near"
    if seen.mean > rule.mean_most:
        return "nearly_solved"
    return "little_spread" if rule.rule is Rule.VARIANCE and seen.sigma < rule.sigma_min else ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a rule in a system's own file gives: `data.selection.rule: "file.py:function"`, with
    def function(samples, trials, *, options, seed, before) -> Drawn.

    `options`: the recipe's; `seed`: of its data; `before`: the facts of the pool that the start model was itself
    trained on, empty where it was not.
    """

    kept: list[Sample]
    """In the order in which a method that takes prompts in order finds them."""
    rows: list[dict[str, Any]]
    """Id, numbers and fate of every candidate."""
    facts: dict[str, Any]
    """What is stored beside the counts, and handed on as `before`."""


@dataclass(slots=True)
class Chosen:
    """The outcome of a rule over all candidates."""

    kept: list[str]
    """Ids in the order of the candidates."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Id, stratum, numbers and reason of every candidate; "kept" or why not."""

    def counts(self) -> dict[str, int]:
        """Reason -> questions."""
        return dict(Counter(row["reason"] for row in self.rows))


def choose(samples: Sequence[Sample], trials: Mapping[str, Sequence[Trial]], rule: Selection, seed: int) -> Chosen:
    """Drop by the rule's bounds, then keep `rule.keep` of the candidates by type, source and length."""
    seen = {sample.id: spread(trials[sample.id], rule.solved) for sample in samples}
    reasons = {sample.id: fault(seen[sample.id], rule, len(trials[sample.id])) for sample in samples}
    strata = {sample.id: stratum(sample, rule) for sample in samples}
    left = [sample.id for sample in samples if not reasons[sample.id]]
    wanted = rule.keep if isinstance(rule.keep, int) else round(rule.keep * len(samples))
    rng = random.Random(seed)
    taken = set(_draw(left, strata, seen, min(wanted, len(left)), rule, trials, rng))
    rows = []
    for sample in samples:
        reason = reasons[sample.id] or ("kept" if sample.id in taken else "not_drawn")
        where = dict(zip(("type", "source", "length"), strata[sample.id], strict=True))
        rows.append({"id": sample.id, **where, **asdict(seen[sample.id]), "reason": reason})
    return Chosen([sample.id for sample in samples if sample.id in taken], rows)


def stratum(sample: Sample, rule: Selection) -> Strata:
    """Type (its family, else what kind of answer it wants), data set, and bucket of the clip's length."""
    timed = "+time" if "windows" in sample.evidence else ""
    kind = str(sample.metadata.get("family") or f"{sample.answer.kind.value}{timed}")
    return kind, sample.source.dataset, bisect_right(rule.buckets, float(sample.metadata.get("duration", 0.0)))


def _draw(
    left: Sequence[str],
    strata: Mapping[str, Strata],
    seen: Mapping[str, Spread],
    wanted: int,
    rule: Selection,
    trials: Mapping[str, Sequence[Trial]],
    rng: random.Random,
) -> list[str]:
    types: dict[str, list[str]] = {}
    for name in left:
        types.setdefault(strata[name][0], []).append(name)
    if rule.rule is Rule.LOWEST:
        return sorted(left, key=lambda name: seen[name].sigma)[:wanted]
    shares = {kind: rule.quotas.get(kind, 0.0) if rule.quotas else 1.0 for kind in types}
    taken: list[str] = []
    for kind, count in split(wanted, shares, {kind: len(names) for kind, names in types.items()}).items():
        names = types[kind]
        if rule.rule is Rule.RITA:
            taken += _by_bucket(names, count, seen, rule, trials, rng)
            continue
        parts: dict[Strata, list[str]] = {}
        for name in names:
            parts.setdefault(strata[name], []).append(name)
        sizes = {part: len(held) for part, held in parts.items()}
        for part, some in split(count, sizes, sizes).items():
            taken += weighted(parts[part], [_weight(seen[name], rule) for name in parts[part]], some, rng)
    return taken


def _by_bucket(
    names: Sequence[str],
    count: int,
    seen: Mapping[str, Spread],
    rule: Selection,
    trials: Mapping[str, Sequence[Trial]],
    rng: random.Random,
) -> list[str]:
    """RITA's hard, medium and easy."""
    buckets: list[list[str]] = [[], [], []]
    for name in names:
        share = seen[name].hits / len(trials[name])
        buckets[0 if share <= rule.hard else 2 if share >= rule.easy else 1].append(name)
    counts = split(count, dict(enumerate(rule.mix)), {place: len(held) for place, held in enumerate(buckets)})
    return [
        name
        for place, some in counts.items()
        for name in weighted(buckets[place], [_weight(seen[one], rule) for one in buckets[place]], some, rng)
    ]


def _weight(seen: Spread, rule: Selection) -> float:
    if rule.rule is Rule.GAUSSIAN:
        return math.exp(-0.5 * ((seen.mean - rule.centre) / rule.width) ** 2)
    if rule.rule in (Rule.RANDOM, Rule.UNSOLVED):
        return 1.0
    return float(seen.sigma**rule.gamma)


def split(wanted: int, shares: Mapping[K, float], room: Mapping[K, int]) -> dict[K, int]:
    """`wanted` in whole numbers by shares, none above its room.

    What one cannot hold goes to the others that have a share, what rounding leaves to the largest shares.
    """
    out = {key: 0 for key in shares}
    while (short := wanted - sum(out.values())) > 0:
        open_ = {key: share for key, share in shares.items() if share > 0 and out[key] < room[key]}
        if not open_:
            break
        total = sum(open_.values())
        exact = {key: short * share / total for key, share in open_.items()}
        given = {key: min(math.floor(value), room[key] - out[key]) for key, value in exact.items()}
        if not any(given.values()):
            given = dict.fromkeys(sorted(open_, key=lambda key: -exact[key])[:short], 1)
        for key, more in given.items():
            out[key] += more
    return out


def weighted(names: Sequence[str], weights: Sequence[float], count: int, rng: random.Random) -> list[str]:
    """`count` names without repetition, each draw in proportion to the weights left; names of weight 0 come last.

    By keys u ** (1 / weight), largest first (Efraimidis and Spirakis, 2006).
    """
    keys = [math.log(1 - rng.random()) / weight if weight > 0 else -math.inf for weight in weights]
    order = sorted(range(len(names)), key=lambda place: -keys[place])
    return [names[place] for place in order[:count]]
