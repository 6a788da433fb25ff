"""SIREN: entropy held at its initial level, where the policy really chooses.

The loss gets lambda (H - H*)^2, with H the mean over answers of the mean over their tokens in M of H^p. H^p is the
entropy of the nucleus: the fewest tokens whose mass reaches p, renormalised. M are the tokens whose H^p is at least its
tau-quantile, so neither the vocabulary's tail nor routine tokens are pushed. The anchor H* is H under the first policy.
The authors run it without division by the group's deviation, without KL, clip 0.28.

The quantile and H are taken over a micro-batch, as in the authors' code; an answer without a token in M has no mean and
is left out, and a micro-batch without loss tokens adds nothing. H* is the mean of H over the micro-batches of the first
step, in which the penalty is therefore 0; with several updates a step the later ones have moved a little by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Method, Trait
from mmreason.objectives.tokens import quantile
from mmreason.run import processes


def nucleus_entropy(logp: torch.Tensor, mass: float) -> torch.Tensor:
    """Nats [m] of log-probabilities [m, V] cut to the fewest tokens whose mass reaches `mass`, with gradient.

    H = ln Z - (1/Z) sum p ln p over the nucleus, Z its mass; which tokens are in it is a constant to the gradient.
    """
    ordered = logp.sort(dim=-1, descending=True).values
    p = ordered.exp()
    inside = p.detach().cumsum(-1) - p.detach() < mass
    total = torch.where(inside, p, 0.0).sum(-1)
    return total.log() - torch.where(inside, p * ordered, 0.0).sum(-1) / total


class Siren(Method):
    """Regulariser on the new policy. Counters: loss tokens, those in M, H of the step and its anchor."""

    source = "SIREN, arXiv 2509.25133"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ENTROPY_UP})

    class Settings(Strict):
        """As for Qwen2.5-Math."""

        strength: Coefficient = 5e-3
        """lambda [published]."""
        mass: float = 0.8
        """p of the nucleus [published]."""
        peak: float = 0.8
        """tau: tokens below this quantile are left alone [published]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.anchor: float | None = None
        self.seen: list[float] = []
        """H of the micro-batches of the step under way; a step killed halfway is run again from its start."""

    def state(self) -> dict[str, Any]:
        return {"anchor": self.anchor}

    def load(self, state: dict[str, Any]) -> None:
        self.anchor, self.seen = state["anchor"], []

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        return {"siren": lambda logp: nucleus_entropy(logp, self.settings.mass)}

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        entropy, mask = forward.extras["siren"], micro.mask
        chosen = mask & (entropy.detach() >= quantile(entropy.detach()[mask], self.settings.peak))
        self.log(ctx, "tokens", float(mask.sum()))
        self.log(ctx, "peak_tokens", float(chosen.sum()))
        rows = chosen.any(1)
        if not rows.any():
            return None, None
        means = torch.where(chosen, entropy, 0.0).sum(1)[rows] / chosen.sum(1)[rows]
        level = means.mean()
        self.seen.append(float(level.detach()))
        if self.anchor is None:
            return None, None
        return None, self.at(self.settings.strength, ctx) * (level - self.anchor) ** 2

    def observe(self, batch: Batch, ctx: Context) -> None:
        count = processes.total(len(self.seen))
        if not count:
            return
        level = processes.total(sum(self.seen)) / count
        self.seen = []
        self.anchor = level if self.anchor is None else self.anchor
        self.log(ctx, "entropy", level)
        self.log(ctx, "anchor", self.anchor)
