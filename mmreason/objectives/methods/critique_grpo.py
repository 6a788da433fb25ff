"""Critique-GRPO: the policy answers again with a critique before its eyes, and learns that as if it had known it.

G - k rollouts come from the question. Each is put behind the question together with a critique, one refinement is
sampled from that context, and k refinements join the group, correct ones first. They are trained as answers to the
bare question: the context they came from is gone, so they are external rows with f(pi) = pi / (pi + 0.1) in place of
ratio and clip, which draws on refinements that the policy finds unlikely. Advantages are r - mean over the union; own
rows are not clipped; an entropy bonus of 0.001 is added.

The words of the critique are our own [reconstructed]. Which of several right refinements stays is chance, seeded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch
from mmreason.objectives.external import entropy_with_gradient, shaped_probability_loss
from mmreason.objectives.method import Context, Forward, Group, Method, Ratio, Trait
from mmreason.objectives.ratio import log_ratio
from mmreason.objectives.stage import appended, from_elsewhere, seed_of, solved
from mmreason.records import Rollout, Sample
from mmreason.rewards.terms import Terms
from mmreason.rollout.engine import Request

Critique = Literal["verdict", "truth", "judge"]


def critique_of(terms: Terms, sample: Sample, kind: Critique) -> str:
    """Whether the answer is right; with `truth` the gold answer too; with `judge` the verifier's own words instead."""
    if kind == "judge":
        return terms.verdict.why
    verdict = "The final answer is right." if terms.accuracy > 0.0 else "The final answer is wrong."
    return f"{verdict} The right answer is {sample.answer.gold}." if kind == "truth" else verdict


class CritiqueGrpo(Method):
    """RolloutStage, AdvEstimator and RatioRule. Counters: refinements, those kept, kept ones that are right, and groups
    that only a refinement solved."""

    source = "Critique-GRPO, arXiv 2506.03106"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RESCUES, Trait.OTHER_CONTEXT, Trait.EXTERNAL_ROWS})

    class Settings(Strict):
        """The authors have groups of 8: 7 rollouts and 1 refinement."""

        kept: int = 1
        """k [published]."""
        critique: Critique = "truth"
        """What stands in context [published: all three; which is the default is ours]."""
        gamma: float = 0.1
        """Of f(pi) = pi / (pi + gamma) [published]."""
        entropy: Coefficient = 0.001
        """Weight of the entropy bonus [published]."""
        template: str = (
            "\n\nHere is an earlier attempt at this:\n{attempt}\n\nAbout it: {critique}\n\nNow answer the question "
            "afresh and in full, in the form asked for, without speaking of the attempt."
        )
        """What is put behind the question [reconstructed: own words]."""

    def check(self, grpo: Any) -> None:
        if not 0 < self.settings.kept <= grpo.group_size // 2:
            raise UserError(
                f"critique_grpo keeps {self.settings.kept} refinements in groups of grpo.group_size={grpo.group_size}: "
                "one is made of each rollout, so at least one and at most half of the group are expected"
            )

        missing = [place for place in ("{attempt}", "{critique}") if place not in self.settings.template]
        if missing:
            raise UserError(f"critique_grpo's template has no place {missing[0]}, which every refinement needs: add it")

    def first(self, ctx: Context) -> int:
        return int(ctx.group_size - self.settings.kept)

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        assert ctx.engine is not None
        requests = [self._request(group, rollout, ctx) for group in groups for rollout in group.rollouts]
        seed = seed_of(ctx, "critique_grpo", groups[0].number)
        made = iter(ctx.engine.extend(requests, ctx.sampling, 1, seed, ctx.asked))
        for group in groups:
            refined = [from_elsewhere(next(made)[0], group.prompt) for _ in group.rollouts]
            self._keep(group, refined, ctx)
        return groups

    def _request(self, group: Group, rollout: Rollout, ctx: Context) -> Request:
        assert ctx.judge is not None and ctx.codec is not None
        critique = critique_of(ctx.judge(rollout, group.sample), group.sample, self.settings.critique)
        text = self.settings.template.replace("{critique}", critique).replace("{attempt}", rollout.text)
        return Request(group.sample, ctx.codec.encode(appended(group.sample, text)))

    def _keep(self, group: Group, refined: list[Rollout], ctx: Context) -> None:
        right = solved(group, ctx, refined)
        chance = torch.Generator().manual_seed(seed_of(ctx, "critique_grpo keeps", group.number))
        order = sorted(torch.randperm(len(refined), generator=chance).tolist(), key=lambda place: not right[place])
        chosen = order[: self.settings.kept]
        num_right = sum(right[place] for place in chosen)
        self.log(ctx, "refinements", len(refined))
        self.log(ctx, "kept", len(chosen))
        self.log(ctx, "kept_right", num_right)
        self.log(ctx, "rescued", num_right > 0 and not any(solved(group, ctx)))
        group.rollouts = [*group.rollouts, *(refined[place] for place in chosen)]

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return estimate(batch, "centred", torch.ones(len(batch), dtype=torch.bool))

    def ratio(self, micro: Batch, forward: Forward, ctx: Context) -> Ratio:
        return Ratio(log_ratio(forward.logp, forward.old).exp(), 0.0, math.inf)

    def external(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        return shaped_probability_loss(advantage, forward, self.settings.gamma)

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        return {"critique_grpo_entropy": entropy_with_gradient}

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return -self.at(self.settings.entropy, ctx) * forward.extras["critique_grpo_entropy"], None
