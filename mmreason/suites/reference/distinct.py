"""Accuracy over distinct questions, for sets that ask some of them twice (MMLU medicine, Medbullets)."""

from __future__ import annotations

from collections.abc import Sequence

from mmreason.suites.reference.forms import mean
from mmreason.suites.references import Scored


def questions(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over the first of each question (`Source.document`), then over all rows."""
    first = {one.sample.source.document: one for one in reversed(scored)}
    return {"distinct": mean(first.values()), "all": mean(scored)}
