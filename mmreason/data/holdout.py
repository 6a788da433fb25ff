"""A held-out side for sets without a released test split: by document, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from mmreason.data.filters import screen
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.records import Sample


def held_out(sample: Sample, fraction: float) -> bool:
    """Whether the sample's document (its own row where it has none) is on the evaluation side."""
    key = sample.source.document or sample.source.row
    digest = hashlib.sha256(f"holdout:{sample.source.dataset}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def holdout(stream: Iterable[Sample | Drop], context: StepContext, side: str = "train") -> Iterator[Sample | Drop]:
    """Keep one side ("train" or "eval") of the split at `recipe.data.eval_fraction`."""
    if side not in ("train", "eval"):
        raise UserError(f"holdout: side is {side!r}, expected 'train' or 'eval'")
    fraction = context.recipe.data.eval_fraction

    def check(sample: Sample) -> tuple[str, str] | None:
        return None if held_out(sample, fraction) == (side == "eval") else ("other_side", f"not on the {side} side")

    return screen(stream, "holdout", check)
