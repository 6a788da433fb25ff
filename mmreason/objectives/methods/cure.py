"""CURE: half of what is learnt comes from other endings of the policy's own answers.

Stage 1: n1 rollouts; in each, one of its 20 tokens of highest entropy is picked by chance (no special token, none of a
single character), the rollout is cut before it, and n2 continuations are sampled from that beginning. All
n1 + n1 n2 rows share one baseline. Of a branch only the continuation is trained; its beginning is trained in the
rollout that it left. Stage 2: no forks any more, plain DAPO as the recipe says (clip 0.2 / 0.28, token mean, dynamic
sampling, overlong buffer of 512 tokens).

A rollout without a token to fork at gets n2 fresh rollouts in place of branches, so that groups keep their size.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.branching import grow, uncertain_places
from mmreason.objectives.method import Context, Group, Method, Need, Trait
from mmreason.objectives.stage import seed_of


class Cure(Method):
    """RolloutStage. Counters: branches, their tokens, tokens they share with a parent, rollouts without a place."""

    source = "CURE, Critical-Token-Guided Re-Concatenation, arXiv 2508.11016"
    provenance = "mixed"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_ROLL})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TREE})

    class Settings(Strict):
        """Set `grpo.group_size` to n1 (1 + n2), 16 with the authors' numbers."""

        n1: int = 4
        """Rollouts from the prompt [published]."""
        n2: int = 3
        """Continuations of each [published]."""
        top: int = 20
        """Tokens of highest entropy of which one is picked [published]."""
        stage_two: int | None = None
        """First step without forks; None: the second half of the run [reconstructed: a second run in the paper]."""

    def check(self, grpo: Any) -> None:
        size = self.settings.n1 * (1 + self.settings.n2)
        if grpo.group_size != size:
            raise UserError(
                f"cure makes n1 (1 + n2) = {size} rollouts a prompt, grpo.group_size is {grpo.group_size}: set it to "
                f"{size}, or change the method's n1 and n2"
            )

    def first(self, ctx: Context) -> int:
        return ctx.group_size if self._over(ctx) else int(self.settings.n1)

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        if self._over(ctx):
            return groups
        cuts = [self._cuts(group, ctx) for group in groups]
        for group, branches in zip(groups, grow(groups, cuts, self.settings.n2, "cure", ctx), strict=True):
            forked = [rollout for rollout in branches if rollout.fork > 0]
            self.log(ctx, "branches", len(forked))
            self.log(ctx, "branch_tokens", sum(len(rollout.ids) - rollout.fork for rollout in forked))
            self.log(ctx, "shared_tokens", sum(rollout.fork for rollout in forked))
            group.rollouts = [*group.rollouts, *branches]
        return groups

    def _over(self, ctx: Context) -> bool:
        begin = self.settings.stage_two
        return ctx.step >= (ctx.total // 2 + 1 if begin is None else begin)

    def _cuts(self, group: Group, ctx: Context) -> list[tuple[int, int]]:
        assert ctx.codec is not None
        chance = torch.Generator().manual_seed(seed_of(ctx, "cure place", group.number))
        limit, cuts = ctx.sampling.max_new_tokens, []
        for index, rollout in enumerate(group.rollouts):
            places = uncertain_places(rollout, self.settings.top, ctx.codec, limit, group.sample.id)
            pick = int(torch.randint(max(len(places), 1), (), generator=chance))
            cuts.append((index, places[pick] if places else 0))
            self.log(ctx, "no_place", not places)
        return cuts
