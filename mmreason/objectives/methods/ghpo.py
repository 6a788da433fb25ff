"""GHPO: a prompt that nobody solved is asked again with the beginning of a reference solution.

Where every rollout of a group fails, the first share omega of the solution is appended to the prompt and the group is
sampled anew, omega = 0.25, 0.5, 0.75, until somebody succeeds. Sampling, log-probabilities before the update and the
update itself are all conditioned on that longer prompt, so ratios stay what they are in GRPO. A group that fails with
the longest hint too keeps its first rollouts: no hint taught it anything.

The share counts characters, which cut no language in pieces that cannot be decoded [reconstructed]; the words that
announce the hint are our own. The verdict is accuracy, as a reward may hold terms that failures earn too.
"""

from __future__ import annotations

import math
from typing import ClassVar

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.objectives.method import Context, Group, Method, Trait
from mmreason.objectives.stage import appended, seed_of, solved
from mmreason.records import Sample
from mmreason.rollout.engine import Request

KEY = "solution"


def solution_of(sample: Sample) -> str:
    """The reference solution from the sample's metadata or evidence. Raises UserError where there is none."""
    text = str(sample.metadata.get(KEY) or sample.evidence.get(KEY) or "").strip()
    if not text:
        raise UserError(
            f"sample {sample.id}: ghpo needs a reference solution, found none under {KEY!r} in its metadata or "
            "evidence; add the texts to the data set, or leave the method out"
        )
    return text


def beginning(text: str, share: float) -> str:
    """The first `share` of the characters, at least one."""
    return text[: max(math.floor(share * len(text)), 1)]


class Ghpo(Method):
    """RolloutStage. Counters: groups that failed, were rescued (also by omega), and stayed unsolved."""

    source = "GHPO, Adaptive Guidance for Stable and Efficient LLM RL, arXiv 2507.10628"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RESCUES})

    class Settings(Strict):
        """The group size of the paper is 8."""

        omegas: tuple[float, ...] = (0.25, 0.5, 0.75)
        """Shares of the solution, in the order tried [published]."""
        cold_start: int = 0
        """First steps in which a failed group gets `cold_omega` alone [reconstructed: optional, length not given]."""
        cold_omega: float = 0.5
        """[published]."""
        lead_in: str = "\n\nA correct solution begins as follows:\n"
        """What stands between question and hint [reconstructed: own words]."""

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        failed = [group for group in groups if not any(solved(group, ctx))]
        self.log(ctx, "failed", len(failed))
        settings = self.settings
        for omega in (settings.cold_omega,) if ctx.step <= settings.cold_start else settings.omegas:
            if failed:
                failed = self._ask_again(failed, omega, ctx)
        self.log(ctx, "unsolved", len(failed))
        return groups

    def _ask_again(self, failed: list[Group], omega: float, ctx: Context) -> list[Group]:
        """Sample with a hint, keep what succeeds, and give back the groups that failed again."""
        assert ctx.engine is not None
        hinted = [self._hinted(group.sample, omega, ctx) for group in failed]
        requests = [Request(group.sample, prompt) for group, prompt in zip(failed, hinted, strict=True)]
        seed = seed_of(ctx, f"ghpo {omega}", failed[0].number)
        made = ctx.engine.extend(requests, ctx.sampling, ctx.group_size, seed, ctx.asked)
        left = []
        for group, prompt, rollouts in zip(failed, hinted, made, strict=True):
            if not any(solved(group, ctx, rollouts)):
                left.append(group)
                continue
            group.prompt, group.rollouts = prompt, list(rollouts)
        rescued = len(failed) - len(left)
        self.log(ctx, "rescued", rescued)
        self.log(ctx, f"rescued_at_{omega:g}", rescued)
        return left

    def _hinted(self, sample: Sample, omega: float, ctx: Context) -> Encoded:
        assert ctx.codec is not None
        hint = self.settings.lead_in + beginning(solution_of(sample), omega)
        return ctx.codec.encode(appended(sample, hint))
