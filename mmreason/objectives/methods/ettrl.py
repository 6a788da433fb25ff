"""ETTRL: learning without labels, from the vote of a tree of rollouts.

ETMR: M rollouts; each is forked at its N tokens of highest entropy with B continuations a fork, which makes
M (1 + B N) answers for about 60 % of the tokens of as many separate ones. The answer that most of them give is the
label, r_i = 1[answer i is it]; answers that cannot be read neither vote nor match.
EAR: A_i <- A_i (1 + (H_g - H_i) / H_g), H_i the mean entropy of answer i when it was sampled, H_g the group's mean:
uncertain answers are damped, confident ones amplified. Beyond H_i = 2 H_g the sign turns, as the formula has it; the
counter `turned` tells how often.

A shared beginning is trained in the rollout it was forked from alone [reconstructed: the summary read does not say].
The verifier decides whether two answers are the same, one standing as the other's gold; a gold of the data set is not
looked at, but must be readable, as the run stops at golds that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, ClassVar, Literal

import torch

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.branching import grow, uncertain_places
from mmreason.objectives.method import Context, Group, Method, Need, Trait
from mmreason.records import Answer, Rollout
from mmreason.records.rollout import SegmentKind
from mmreason.rewards.grade import grade_read, read


def majority(texts: Sequence[str], answer: Answer, opened_think: bool = False) -> list[bool]:
    """Which outputs give the answer that most of them give; the first such answer where several tie."""
    readings = [read(text, answer, opened_think=opened_think) for text in texts]
    found = {place: r.text for place, r in enumerate(readings) if r.text is not None and not r.hedged}
    camps: list[list[int]] = []
    for place, text in found.items():
        same = (camp for camp in camps if _equal(text, found[camp[0]], answer))
        camp = next(same, None)
        if camp is None:
            camps.append([place])
        else:
            camp.append(place)
    winner = max(camps, key=len, default=[])
    return [place in winner for place in range(len(texts))]


def _equal(text: str, other: str, answer: Answer) -> bool:
    return text == other or grade_read(text, replace(answer, gold=other)).score > 0.0


def mean_entropy(rollout: Rollout) -> float:
    """Nats a token over what the policy wrote, a branch's shared beginning included; 0 for want of entropies."""
    own = (SegmentKind.MODEL, SegmentKind.SHARED)
    values = [h for piece in rollout.pieces if piece.kind in own for h in rollout.entropies[piece.start : piece.end]]
    return fmean(values) if values else 0.0


class Ettrl(Method):
    """RolloutStage, RewardTerm and AdvTransform. Counters: branches, tokens not sampled thanks to forks, votes for the
    label, answers whose advantage turned."""

    source = "ETTRL, arXiv 2508.11356"
    provenance = "mixed"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_ROLL})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TREE, Trait.UNLABELLED})
    combine: ClassVar[Literal["add", "mul", "replace"]] = "replace"

    class Settings(Strict):
        """M is `grpo.group_size` / (1 + B N)."""

        forks: int = 3
        """N [published]."""
        branches: int = 2
        """B [published]."""

    @property
    def _tree(self) -> int:
        """Answers that come of one rollout."""
        return int(1 + self.settings.forks * self.settings.branches)

    def check(self, grpo: Any) -> None:
        if grpo.group_size % self._tree:
            raise UserError(
                f"ettrl makes 1 + forks x branches = {self._tree} answers of each rollout, and grpo.group_size="
                f"{grpo.group_size} is no multiple of it: take {max(grpo.group_size // self._tree, 1) * self._tree}"
            )

    def first(self, ctx: Context) -> int:
        return ctx.group_size // self._tree

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        cuts = [self._cuts(group, ctx) for group in groups]
        for group, branches in zip(groups, grow(groups, cuts, self.settings.branches, "ettrl", ctx), strict=True):
            self.log(ctx, "branches", sum(rollout.fork > 0 for rollout in branches))
            self.log(ctx, "shared_tokens", sum(rollout.fork for rollout in branches))
            group.rollouts = [*group.rollouts, *branches]
        return groups

    def _cuts(self, group: Group, ctx: Context) -> list[tuple[int, int]]:
        assert ctx.codec is not None
        cuts, forks = [], self.settings.forks
        for index, rollout in enumerate(group.rollouts):
            places = uncertain_places(rollout, forks, ctx.codec, ctx.sampling.max_new_tokens, group.sample.id)
            padded = places + [0] * (forks - len(places))  # fresh rollouts for want of places: groups keep their size
            cuts += [(index, at) for at in padded]
        return cuts

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        opened = ctx.codec is not None and ctx.codec.opens_think
        reward = torch.zeros(len(batch), dtype=torch.float64)
        for number in batch.numbers():
            rows = batch.rows_of(number).tolist()
            texts = [batch.rollouts[row].text for row in rows]
            votes = majority(texts, batch.samples[rows[0]].answer, opened)
            reward[rows] = torch.tensor(votes, dtype=torch.float64)
            self.log(ctx, "votes", sum(votes))
        return reward

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        mean = torch.tensor([mean_entropy(rollout) for rollout in batch.rollouts], dtype=torch.float64)
        group = batch.by_group(mean)
        factor = torch.where(group > 0.0, 1.0 + (group - mean) / group.clamp_min(1e-12), 1.0)
        self.log(ctx, "turned", int((factor < 0.0).sum()))
        return advantage * factor.unsqueeze(1)
