"""What a set of graph items covers: head and tail by length, what distractors share, walks that were refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from mmreason.records import Sample


def coverage(samples: Iterable[Sample]) -> dict[str, Any]:
    """Counts over the graph items among `samples`; others are left out.

    {"1 tail": {"items", "share" of the items of that length, "diseases": different ones begun at, "answers": different
    ones}, ...}, `distractors` {clues shared: number}, `distractors_below`: items with one that shares too few,
    `refused` {reason: walks}, `tiers`.
    """
    items = [sample for sample in samples if "masked_nodes" in sample.metadata]
    sides: dict[tuple[int, str], list[Sample]] = defaultdict(list)
    for sample in items:
        sides[sample.metadata["hops"], "tail" if sample.metadata["tail"] else "head"].append(sample)
    lengths = Counter(sample.metadata["hops"] for sample in items)
    refused: Counter[str] = Counter()
    for sample in items:
        refused.update(sample.metadata["refused"])
    wrong = [
        option
        for sample in items
        for option in sample.metadata["options"]
        if option["node"] != sample.metadata["masked_nodes"][-1]
    ]
    return {
        **{
            f"{hops} {side}": {
                "items": len(own),
                "share": len(own) / lengths[hops],
                "diseases": len({sample.metadata["masked_nodes"][0] for sample in own}),
                "answers": len({sample.metadata["masked_nodes"][-1] for sample in own}),
            }
            for (hops, side), own in sorted(sides.items())
        },
        "distractors": dict(sorted(Counter(option["shared"] for option in wrong).items())),
        "distractors_below": sum(sample.metadata["distractors_below"] > 0 for sample in items),
        "refused": dict(sorted(refused.items())),
        "tiers": dict(sorted(Counter(str(sample.metadata["tier"]) for sample in items).items())),
    }
