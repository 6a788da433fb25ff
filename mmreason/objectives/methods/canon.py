"""CANON: each answer is compared with the half of its group that differs in entropy or length.

The group is sorted by a metric of the answer and halved into high and low (an odd one in the middle is high). With m
the mean reward of a half and `mu` the share of the comparison between the halves:

    favoured half  A = mu (r - alpha m_other)      + (1 - mu) (r - m_own)
    other half     A = mu (alpha r - m_favoured)   + (1 - mu) (r - m_own)

GRPO's division by the deviation falls away; alpha = 1 leaves the direction open, alpha < 1 favours one half. A mean of
equal rewards is that reward exactly, so with alpha = 1 a group of equal rewards gets exactly 0; a group of one row
has no second half and gets 0. Ties of the metric go by place in the group.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Need, Trait


class Canon(Method):
    """AdvEstimator over halves of a group. Counter: mean reward of the high halves less that of the low ones."""

    source = "CANON, arXiv 2509.23962"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_OLD})

    class Settings(Strict):
        """With loss_mean: constant, clip_high 0.28, no KL term, groups of 16."""

        metric: Literal["entropy", "length"] = "entropy"
        """Mean entropy of the answer's loss tokens under the old policy, or its number of tokens [published]."""
        favour: Literal["high", "low"] | None = None
        """The half that alpha < 1 favours; None: high entropy, short answers [published]."""
        alpha: Coefficient = 1.0
        """Factor on the other half, 1 or slightly below [published]."""
        mu: Coefficient = 1.0
        """Share of the comparison between the halves, 0 to 1, perhaps annealed [published]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        chosen = self.settings
        self.favoured: str = chosen.favour or ("high" if chosen.metric == "entropy" else "low")
        if chosen.metric == "length":
            self.needs = frozenset()  # type: ignore[misc]  # an instance knows more than its class
        if chosen.alpha != 1.0:
            raised = Trait.ENTROPY_UP if self.favoured == "high" else Trait.ENTROPY_DOWN
            self.traits = frozenset({Trait.LENGTH if chosen.metric == "length" else raised})  # type: ignore[misc]

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        alpha, mu = self.at(self.settings.alpha, ctx), self.at(self.settings.mu, ctx)
        metric, reward = self._metric(batch), batch.reward
        out = torch.zeros_like(reward)
        gaps = []
        for number in batch.numbers():
            rows = batch.rows_of(number)
            order = rows[metric[rows].argsort(stable=True)]
            low, high = order[: len(order) // 2], order[len(order) // 2 :]
            if not len(low):
                continue
            own, other = (high, low) if self.favoured == "high" else (low, high)
            m_own, m_other = _mean(reward[own]), _mean(reward[other])
            out[own] = mu * (reward[own] - alpha * m_other) + (1.0 - mu) * (reward[own] - m_own)
            out[other] = mu * (alpha * reward[other] - m_own) + (1.0 - mu) * (reward[other] - m_other)
            gaps.append(float(_mean(reward[high]) - _mean(reward[low])))
        self.log(ctx, "high_less_low", sum(gaps) / max(len(gaps), 1))
        return out

    def _metric(self, batch: Batch) -> torch.Tensor:
        """float64 [N]; 0 for a row without loss tokens."""
        if self.settings.metric == "length":
            return batch.length.double()
        summed = torch.where(batch.mask, batch.aux["entropy_old"].double(), 0.0).sum(1)
        return summed / batch.mask.sum(1).clamp_min(1)


def _mean(values: torch.Tensor) -> torch.Tensor:
    """The mean; of equal values exactly that value, never a rounded quotient."""
    return values[0] if values.min() == values.max() else values.mean()
