"""Baselines as rows beside a score: what was answered, its accuracy with interval, what the score adds to it.

A row: `name`, `said` (in words), the accuracy (`mean`, `low`, `high`, `method`) and `gain`, the mean of score minus
baseline over the same questions with a bootstrap interval over questions, or over documents where the suite's
intervals are. A score whose gain has its lower bound at 0 or below is not told from the baseline.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmreason.records import Sample
from mmreason.rewards.grade import grade
from mmreason.suites.baselines import as_output
from mmreason.suites.intervals import cluster_bootstrap
from mmreason.suites.means import accuracy, as_dict

Record = dict[str, Any]
Row = dict[str, Any]


def row(name: str, said: str, values: Sequence[float], records: Sequence[Record]) -> Row:
    """One baseline from its accuracy on each question, in the order of the records of the score."""
    own = [{**record, "acc": value} for record, value in zip(records, values, strict=True)]
    gains = [record["acc"] - value for record, value in zip(records, values, strict=True)]
    clusters = [_cluster(record) for record in records]
    return {"name": name, "said": said, **as_dict(accuracy(own)), "gain": as_dict(cluster_bootstrap(gains, clusters))}


def _cluster(record: Record) -> str:
    by_document = record["interval_by"] == "document"
    return str((record["document"] if by_document else "") or record["id"])


def constant_rows(samples: Sequence[Sample], records: Sequence[Record], tried: Mapping[str, Any]) -> list[Row]:
    """The best single answer to all questions, out of those tried and the commonest golds, and where the suite mixes
    kinds of answers the commonest gold of each kind."""
    top = commonest(samples)
    words = dict.fromkeys([*tried, *top.values()])
    scores = {word: [grade(as_output(word), sample.answer).score for sample in samples] for word in words}
    best = max(words, key=lambda word: sum(scores[word]))
    rows = [row("constant", f"always {best}", scores[best], records)]
    if len(top) > 1:
        by_kind = [scores[top[sample.answer.kind.value]][place] for place, sample in enumerate(samples)]
        said = ", ".join(f"{gold} to {kind}" for kind, gold in top.items())
        rows.append(row("majority", f"the commonest answer of each kind: {said}", by_kind, records))
    return rows


def commonest(samples: Sequence[Sample]) -> dict[str, str]:
    """Answer kind -> its commonest gold, as the first question with it spells it."""
    golds: dict[str, Counter[str]] = defaultdict(Counter)
    spelt: dict[str, str] = {}
    for sample in samples:
        folded = " ".join(sample.answer.gold.split()).casefold()
        golds[sample.answer.kind.value][folded] += 1
        spelt.setdefault(folded, sample.answer.gold)
    return {kind: spelt[found.most_common(1)[0][0]] for kind, found in sorted(golds.items())}
