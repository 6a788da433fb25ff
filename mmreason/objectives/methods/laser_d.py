"""LASER-D: a bonus for right answers within a target length, which follows the model and the difficulty.

    r <- r + alpha c 1[L <= L_T(bucket)]         bucket: pass rate of the group at least 2/3, at least 1/3, or less

The target of a bucket is the shortest grid length whose coverage (share of the bucket's right answers that are no
longer) still leaves one right answer to expect: floor(coverage n) >= 1 with n = floor(2G/3), floor(G/3), 1 of G
answers. A hard prompt thus keeps room for every right answer seen, an easy one is pressed.

The authors refresh the targets on a monitor set; here the RL rollouts of the last steps are the monitor
[reconstructed], counted before any group is filtered. Their base reward is 1, -0.5 where wrong, -1 without an answer.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, ClassVar

import torch
from pydantic import Field

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait
from mmreason.run import processes

BUCKETS = ("easy", "middle", "hard")

Counts = list[list[int]]
"""For each bucket the right answers by grid cell; the last cell is beyond the grid."""


class LaserD(Method):
    """RewardTerm. Counters: the three targets, share of right answers within theirs."""

    source = "LASER, arXiv 2505.15612"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.LENGTH, Trait.SHAPES_REWARD})
    gate = "if_ok"

    class Settings(Strict):
        """With groups of 8 and kl_beta 1e-3."""

        alpha: Coefficient = 0.5
        """Size of the bonus [published]."""
        grid: int = Field(default=1024, ge=1)
        """Step between candidate targets in tokens [published]."""
        shortest: int = Field(default=1024, ge=1)
        """First candidate [published: 1024 to 4096]."""
        longest: int = Field(default=8192, ge=1)
        """Last candidate, and the target while nothing is known [published]."""
        every: int = Field(default=20, ge=1)
        """Steps between refreshes [published in the released scripts]."""
        window: int = Field(default=20, ge=1)
        """Steps that a refresh looks back on [reconstructed: in place of the monitor set]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        s = self.settings
        self.lengths = sorted({*range(s.shortest, s.longest, s.grid), s.longest})
        """Candidate targets."""
        self.targets = [s.longest] * len(BUCKETS)
        self.window: list[Counts] = []
        self._seen = self._none()

    def weight(self, ctx: Context) -> float:
        return self.at(self.settings.alpha, ctx)

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        bucket, length = buckets(batch.by_group(batch.correct)), batch.length
        self._seen = self._none()  # a refill hands in all rows of the step again
        for row in (batch.correct > 0.0).nonzero().squeeze(-1).tolist():
            self._seen[int(bucket[row])][bisect_left(self.lengths, int(length[row]))] += 1
        return (length <= torch.tensor(self.targets)[bucket]).double()

    def observe(self, batch: Batch, ctx: Context) -> None:
        self._log(ctx)
        self.window = [*self.window, self._seen][-self.settings.window :]
        self._seen = self._none()
        if ctx.step % self.settings.every == 0:
            self._refresh(ctx.group_size)

    def _log(self, ctx: Context) -> None:
        within = sum(sum(c[: self.lengths.index(t) + 1]) for c, t in zip(self._seen, self.targets, strict=True))
        self.log(ctx, "within", within / max(sum(map(sum, self._seen)), 1))
        for name, target in zip(BUCKETS, self.targets, strict=True):
            self.log(ctx, f"target_{name}", target)

    def _refresh(self, group_size: int) -> None:
        """New targets from the window of all processes; a bucket without right answers keeps its own."""
        for bucket, expected in enumerate((2 * group_size // 3, group_size // 3, 1)):
            cells = [
                processes.total(sum(column)) for column in zip(*(step[bucket] for step in self.window), strict=True)
            ]
            if sum(cells) > 0:
                self.targets[bucket] = shortest_target(self.lengths, cells, max(expected, 1))

    def _none(self) -> Counts:
        return [[0] * (len(self.lengths) + 1) for _ in BUCKETS]

    def state(self) -> dict[str, Any]:
        return {"targets": list(self.targets), "window": self.window}

    def load(self, state: dict[str, Any]) -> None:
        self.targets, self.window = list(state["targets"]), list(state["window"])


def buckets(pass_rate: torch.Tensor) -> torch.Tensor:
    """int64: 0 easy from 2/3, 1 middle from 1/3, 2 hard; a hair below counts, since rates are rounded quotients."""
    return 2 - (pass_rate >= 1 / 3 - 1e-9).long() - (pass_rate >= 2 / 3 - 1e-9).long()


def shortest_target(lengths: list[int], cells: list[float], expected: int) -> int:
    """The shortest length with floor(coverage x expected) >= 1, the longest if none has; `cells` as in `Counts`."""
    covered, whole = 0.0, sum(cells)
    for length, count in zip(lengths, cells, strict=False):
        covered += count
        if covered * expected >= whole:
            return length
    return lengths[-1]
