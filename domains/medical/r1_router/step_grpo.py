"""Step-GRPO: each step of a trajectory is rewarded by itself and compared within its own group.

    A_i^t = (r_i^t - mean_j r_j^t) / (s^t + 1e-6)              repeated over the tokens of the step

history: teacher (the released code): a prompt is one step behind the teacher's steps before it, its n answers are the
group, nothing is retrieved. history: own: the policy plays whole questions with live retrieval, and the steps of one
place (plan 1, answer 1, plan 2, ..., final) over the n episodes of a question are a group, each against the teacher's
step of that place (`rewards.turn_rewards`).

Executed with the divergence computed and never added to the loss (`kl_beta: 0`) and an entropy bonus.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.models.encode import Example
from mmreason.objectives.batch import Batch
from mmreason.objectives.external import entropy_with_gradient
from mmreason.objectives.method import Context, Forward, Method, Trait
from mmreason.project import load_module

rewards = load_module(Path(__file__).parent / "rewards.py")
EPSILON = 1e-6
_HEAD = "step_grpo_entropy"


class StepGRPO(Method):
    """Sampler, AdvEstimator and Regulariser. Counters, by kind of step: mean reward, spread within groups, share of
    groups without any."""

    source = "R1-Router / MoRE, arXiv 2505.22095; OpenBMB/MoRE@9039ab3"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TURN_BASELINE, Trait.OWN_GROUPS})

    class Settings(Strict):
        """The step rewards come from the reward term `r1_router/rewards.py:router`."""

        whole: bool = True
        """Draw prompts trajectory by trajectory, so that the steps of one stand in one batch [repo]."""
        unbiased: bool = True
        """Deviation with n - 1 in the denominator [repo: torch.std]."""
        entropy: Coefficient = 0.0
        """Weight of an entropy bonus [inferred: 1e-3, the stock setting; 0 in the embedded default]."""

    def choose(self, pool: Sequence[Example], count: int, ctx: Context) -> list[int]:
        """The next `count` of the pool, whose trajectories are drawn anew in each pass, each with all of its steps."""
        begin, base = (ctx.step - 1) * count, ctx.seed - ctx.step
        passes = range(begin // len(pool), (begin + count - 1) // len(pool) + 1)
        order = [index for one in passes for index in _order(pool, f"{base}:{one}", self.settings.whole)]
        skipped = begin - passes.start * len(pool)
        return order[skipped : skipped + count]

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N, T]: the advantage of each token's step."""
        out = torch.zeros(batch.mask.shape, dtype=torch.float64)
        found: dict[str, list[tuple[float, float]]] = {}
        for number in batch.numbers():
            slots: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
            for row in batch.rows_of(number).tolist():
                for turn, (slot, reward) in enumerate(self._slots(batch, row)):
                    slots.setdefault(slot, []).append((row, turn, reward))
            for (kind, _), entries in slots.items():
                made, spread = normalised([reward for _, _, reward in entries], self.settings.unbiased)
                for (row, turn, _), value in zip(entries, made, strict=True):
                    out[row] = torch.where(batch.turn[row] == turn, value, out[row])
                found.setdefault(kind, []).append((sum(entry[2] for entry in entries) / len(entries), spread))
        self._count(found, ctx)
        return out

    def _slots(self, batch: Batch, row: int) -> list[tuple[tuple[str, int], float]]:
        """(kind, how many of that kind came before) and reward of each turn of a row."""
        sample, rollout = batch.samples[row], batch.rollouts[row]
        if "step" in sample.evidence:
            return [((str(sample.evidence["step"]["kind"]), 0), float(batch.reward[row]))]
        if rewards.turn_part(0) not in batch.terms:
            raise UserError(
                f"sample {sample.id} has no trajectory to compare its steps with: let a data step write one "
                "(r1_router/teacher.py), and declare the reward {term: r1_router/rewards.py:router}"
            )
        kinds = rewards.kinds_of(rollout)
        earned = [float(batch.terms[rewards.turn_part(turn)][row]) for turn in range(len(kinds))]
        return [((kind, kinds[:turn].count(kind)), earned[turn]) for turn, kind in enumerate(kinds)]

    def _count(self, found: dict[str, list[tuple[float, float]]], ctx: Context) -> None:
        for kind, groups in found.items():
            self.log(ctx, f"{kind}_reward", sum(mean for mean, _ in groups) / len(groups))
            self.log(ctx, f"{kind}_spread", sum(spread for _, spread in groups) / len(groups))
            self.log(ctx, f"{kind}_flat", sum(spread == 0.0 for _, spread in groups) / len(groups))

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        return {_HEAD: entropy_with_gradient}

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return -self.at(self.settings.entropy, ctx) * forward.extras[_HEAD], None


def normalised(values: Sequence[float], unbiased: bool = True) -> tuple[list[float], float]:
    """(advantages, deviation) of one group; exactly 0 where all are equal or one stands alone."""
    if len(values) < 2 or max(values) == min(values):
        return [0.0] * len(values), 0.0
    mean = sum(values) / len(values)
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - unbiased)) ** 0.5
    return [(value - mean) / (spread + EPSILON) for value in values], spread


def _order(pool: Sequence[Example], seed: str, whole: bool) -> list[int]:
    """The pool's indices in one pass; with `whole` the steps of a trajectory stand together in their order."""
    rng = random.Random(seed)
    parts: dict[str, list[int]] = {}
    for index, example in enumerate(pool):
        key = str(example.sample.metadata.get("trajectory", index)) if whole else str(index)
        parts.setdefault(key, []).append(index)
    keys = rng.sample(sorted(parts), len(parts))
    return [index for key in keys for index in parts[key]]
