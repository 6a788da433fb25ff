"""P-GRPO: the quality of the reasoning is rewarded where the outcome is right, and nowhere else.

    r <- r + c r_think          r_think in [0, 1] from a scorer of the reasoning

so that a model cannot trade well-sounding thoughts for right answers. The authors train a reward model as scorer; here
it is a function `scorer(rollout, sample)` of the user's, who may ask such a model. Only right answers are scored, each
once a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait
from mmreason.project import load_ref
from mmreason.records import Rollout, Sample

Key = tuple[str, tuple[int, ...], tuple[int, ...]]


class PGRPO(Method):
    """RewardTerm behind the outcome. Counters: answers scored, sum of their scores."""

    source = "P-GRPO, arXiv 2508.05170"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.SHAPES_REWARD})
    gate = "if_ok"

    class Settings(Strict):
        """Which scorer, and its weight."""

        scorer: str = ""
        """Reference 'file.py:function' of `(rollout, sample) -> float` in [0, 1]; there is no default."""
        folder: str = "."
        """Folder that `scorer` is relative to."""
        scale: Coefficient = 1.0
        """Weight of r_think beside the outcome's 1 [published]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._step = 0
        self._scores: dict[Key, float] = {}

    def check(self, grpo: Any) -> None:
        _ = self.scorer  # a missing one stops the run before anything heavy loads

    @cached_property
    def scorer(self) -> Callable[[Rollout, Sample], Any]:
        """The user's function. Raises UserError where none is named, or none is found."""
        if not self.settings.scorer:
            raise UserError(
                "method p_grpo has no scorer of the reasoning: write {p_grpo: {scorer: 'file.py:function'}}, a "
                "function of (rollout, sample) that gives a number in [0, 1]"
            )
        return load_ref(self.settings.scorer, Path(self.settings.folder))

    def weight(self, ctx: Context) -> float:
        return self.at(self.settings.scale, ctx)

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        if ctx.step != self._step:
            self._step, self._scores = ctx.step, {}
        before = dict(self._scores)
        out = torch.zeros_like(batch.reward)
        for row in (batch.correct > 0.0).nonzero().squeeze(-1).tolist():
            out[row] = self._score(batch.rollouts[row], batch.samples[row])
        self.log(ctx, "scored", len(self._scores) - len(before))
        self.log(ctx, "score_sum", sum(self._scores.values()) - sum(before.values()))
        return out

    def _score(self, rollout: Rollout, sample: Sample) -> float:
        key = (sample.id, rollout.prompt_ids, rollout.ids)
        if key not in self._scores:
            self._scores[key] = checked(self.scorer(rollout, sample), self.settings.scorer, sample)
        return self._scores[key]


def checked(value: Any, scorer: str, sample: Sample) -> float:
    """The score if it is a number in [0, 1]. Raises UserError naming scorer and sample otherwise."""
    if isinstance(value, int | float) and math.isfinite(value) and 0.0 <= value <= 1.0:
        return float(value)
    raise UserError(f"scorer {scorer} gave {value!r} for sample {sample.id}; expected a number in [0, 1]")
