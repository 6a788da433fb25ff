"""Pixel Reasoner's bonus for calls, the nearest relative's reward, as an arm to compare EARL's with.

    paper   r + alpha max(H - RaPR, 0) 1[n > 0] + beta min(N - n, 0)
    code    r + (max(H - RaPR, 0) / 1.5) 0.25 / RaPR - 0.05 (n - 1)      for n > 0, else r

n is the number of calls of an answer and RaPR the share of its group that has one, so the rarer calls are, the more one
earns. The released code also takes the reward of a right answer whose last call failed; it looks the failure up by the
place in the group for all groups alike, which here goes by the answer itself.

    grpo: {advantage: centred, methods: [{'earl/curiosity.py:Curiosity': {form: paper}}]}
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch

from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait

_KINDS = ("call", "error")


class Curiosity(Method):
    """RewardTerm. Counters: mean share of answers with a call, mean bonus."""

    source = "Pixel Reasoner, arXiv 2505.15966"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.SHAPES_REWARD})

    class Settings(Strict):
        """Constants [published, the paper's; those of the code's form are fixed there]."""

        form: Literal["paper", "code"] = "paper"
        rate: float = 0.3
        """H: share of answers with a call up to which calls are encouraged."""
        calls: int = 1
        """N: calls that cost nothing."""
        alpha: float = 0.5
        beta: float = 0.05

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        told = [_calls(rollout.extras) for rollout in batch.rollouts]
        number = torch.tensor([len(turns) for turns in told], dtype=torch.float64)
        acted = (number > 0).double()
        rate = batch.by_group(acted)
        bonus = self._paper(number, rate) if self.settings.form == "paper" else self._code(number, rate)
        bonus = torch.where(number > 0, bonus, 0.0)
        if self.settings.form == "code":
            failed = torch.tensor([bool(turns) and turns[-1]["kind"] == "error" for turns in told])
            bonus = bonus - torch.where(failed & (batch.correct > 0), batch.reward, 0.0)
        self.log(ctx, "rate", float(acted.mean()))
        self.log(ctx, "bonus", float(bonus.mean()))
        return bonus

    def _paper(self, number: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        own = self.settings
        return own.alpha * (own.rate - rate).clamp_min(0.0) + own.beta * (own.calls - number).clamp_max(0.0)

    def _code(self, number: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        return (self.settings.rate - rate).clamp_min(0.0) / 1.5 * 0.25 / rate.clamp_min(1e-9) - 0.05 * (number - 1)


def _calls(extras: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls of an answer, failed ones too."""
    return [turn for turn in extras.get("turns", []) if turn.get("kind") in _KINDS]
