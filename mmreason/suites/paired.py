"""Two models on the same questions: the difference with its interval, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmreason.errors import UserError
from mmreason.suites.intervals import cluster_bootstrap, mcnemar

Record = dict[str, Any]


def pair(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Records of both by id, in the order of `a`. Raises UserError unless both hold the same questions."""
    right = {record["id"]: record for record in b}
    only_a = [record["id"] for record in a if record["id"] not in right]
    only_b = sorted(set(right) - {record["id"] for record in a})
    if only_a or only_b:
        first = (only_a + only_b)[0]
        raise UserError(
            f"the two results hold different questions ({len(only_a)} only in the first, {len(only_b)} only in the "
            f"second, for example {first!r}); evaluate both with the same suite, data and limit"
        )
    pairs = [(record, right[record["id"]]) for record in a]
    for first, second in pairs:
        if first["doc_hash"] != second["doc_hash"] or first["target_hash"] != second["target_hash"]:
            raise UserError(f"question {first['id']!r} or its answer differs between the two results; use one data set")
    return pairs


def compare_records(a: Sequence[Record], b: Sequence[Record], metric: str = "acc") -> dict[str, Any]:
    """b - a: mean difference with a bootstrap interval over documents, discordant counts, exact McNemar p-value.

    The p-value is None unless each question has one 0/1 answer. Questions that a published scorer leaves out of either
    result are not compared; raises UserError when none is left.
    """
    pairs = [one for one in pair(a, b) if None not in (one[0][metric], one[1][metric])]
    if not pairs:
        raise UserError(f"{metric} leaves out every question of one of the two results: there is nothing to compare")
    gains = [second[metric] - first[metric] for first, second in pairs]
    interval = cluster_bootstrap(gains, [first["document"] or first["id"] for first, _ in pairs])
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    single = all(len(record["runs"]) == 1 and record[metric] in (0.0, 1.0) for one in pairs for record in one)
    count = len(pairs)
    return {
        "questions": count,
        "metric": metric,
        "a": sum(first[metric] for first, _ in pairs) / count,
        "b": sum(second[metric] for _, second in pairs) / count,
        "difference": interval._asdict(),
        "only_b_right": better,
        "only_a_right": worse,
        "mcnemar_p": mcnemar(worse, better) if single else None,
    }
