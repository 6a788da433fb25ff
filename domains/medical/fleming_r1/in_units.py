"""Prompts of stage 2 in the order in which they were mined, so that every step holds right : wrong = 1 : 2.

Drawn anew at random, as other pools are, twelve prompts hold between none and eight solved ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmreason.objectives.method import Context, Method

if TYPE_CHECKING:
    from mmreason.models.encode import Example


class InUnits(Method):
    """Sampler: the pool from its beginning to its end, and again. The ratio is exact where `grpo.prompts` is a whole
    number of units (of right + wrong prompts), and without attempts to fill a step."""

    source = "Fleming-R1, arXiv 2509.15279, figure 2"
    provenance = "reconstructed"

    def choose(self, pool: Sequence[Example], count: int, ctx: Context) -> list[int]:
        begin = (ctx.step - 1) * count
        return [place % len(pool) for place in range(begin, begin + count)]
