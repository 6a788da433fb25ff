"""ARMed's adaptive semantic reward as a change to GRPO: a buffer of similarities, and a map that follows it.

    R <- R + share x min(M_B(s), cap)          M_B: anchors.py;  s, share, cap: parts of `rewards.py:text`

Named in a recipe as `grpo: {methods: [{armed/adaptive.py:Adaptive: {map: adaptive}}]}` beside the reward term
`armed/rewards.py:text`. A step is scored with the buffer as the step before left it; the similarities of all its
answers, of all processes, in the order in which one process would have met them, enter it once the policy has moved. So
every process holds the same buffer, an answer is worth the same wherever it is scored, and evaluation, which never gets
here, cannot move it. The buffer lies in the checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method
from mmreason.project import load_module
from mmreason.run import processes

_HERE = Path(__file__).parent
anchoring = load_module(_HERE / "anchors.py")
diagnostics = load_module(_HERE / "diagnostics.py")
rewards = load_module(_HERE / "rewards.py")
settings = load_module(_HERE / "settings.py")
conflict = rewards.conflict
Map = settings.Map

PARTS = ("similarity", "exact", "cap", "compared", "share", "floor", "text", "well_formed")


class Adaptive(Method):
    """RewardTerm. Counters: threshold, slope, size of the buffer; mean of s and r_sem; spread of each part in groups
    (`*_sd`, `*_resolution`, `*_flat`); contradicting answers; order blindness of the text score, and with the guard."""

    source = "ARMed, arXiv 2508.12957; reconstructed"
    provenance = "reconstructed"
    shared = True

    Settings = settings.MapSettings

    def __init__(self, given: Any = None) -> None:
        super().__init__(given)
        self.history: list[float] = []
        self._scored: tuple[Batch, list[float]] | None = None

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N]: what r_sem adds to each row. Raises UserError where the recipe's reward is another one."""
        missing = [name for name in PARTS if name not in batch.terms]
        if missing:
            raise UserError(
                f"method {self.name or 'adaptive'} finds no part {missing[0]!r} in the reward of sample "
                f"{batch.samples[0].id}: declare the reward {{term: armed/rewards.py:text}} in the recipe's task"
            )
        meaning = self.meaning(batch)
        self._scored = batch, meaning  # a refill asks again with all groups of the step; the last call holds them all
        return batch.terms["share"] * torch.tensor(meaning, dtype=torch.float64)

    def meaning(self, batch: Batch) -> list[float]:
        """r_sem of each row; moves nothing."""
        columns = {name: batch.terms[name].tolist() for name in PARTS}
        mapped = self._mapped(columns, batch.group.tolist())
        return [
            1.0 if exact else min(value, cap)
            for value, exact, cap in zip(mapped, columns["exact"], columns["cap"], strict=True)
        ]

    def _mapped(self, columns: dict[str, list[float]], groups: list[int]) -> list[float]:
        near, s = columns["similarity"], self.settings
        if s.map is Map.RAW:
            return near
        if s.map is Map.MINMAX:
            return self._within_groups(near, columns["compared"], groups)
        if s.map is Map.AFFINE or len(self.history) < s.warmup:
            return [anchoring.affine(value, floor) for value, floor in zip(near, columns["floor"], strict=True)]
        anchors = anchoring.anchors(self.history, s)
        return [anchors.apply(value) for value in near]

    def _within_groups(self, near: list[float], compared: list[float], groups: list[int]) -> list[float]:
        out = [0.0] * len(near)
        for number in dict.fromkeys(groups):
            rows = [row for row, group in enumerate(groups) if group == number and compared[row]]
            for row, value in zip(rows, anchoring.minmax([near[row] for row in rows]) if rows else (), strict=True):
                out[row] = value
        return out

    def observe(self, batch: Batch, ctx: Context) -> None:
        """Count the step as it was scored, then let its similarities into the buffer."""
        assert self._scored is not None, "observe comes after reward in every step"
        scored, meaning = self._scored
        self._scored = None
        self._log_anchors(ctx)
        self._log_spread(scored, meaning, ctx)
        self.history = anchoring.appended(self.history, gathered(scored), self.settings.history)

    def _log_anchors(self, ctx: Context) -> None:
        self.log(ctx, "history", len(self.history))
        if len(self.history) >= self.settings.warmup:
            anchors = anchoring.anchors(self.history, self.settings)
            self.log(ctx, "tau", anchors.tau)
            self.log(ctx, "slope", anchors.slope)

    def _log_spread(self, batch: Batch, meaning: list[float], ctx: Context) -> None:
        groups, terms = batch.group.tolist(), batch.terms
        parts = {
            "format": terms["well_formed"].tolist(),
            "text": terms["text"].tolist(),
            "raw": terms["similarity"].tolist(),
            "semantic": [
                value if share else 0.0 for value, share in zip(meaning, terms["share"].tolist(), strict=True)
            ],
        }
        for name, values in parts.items():
            found = diagnostics.spread(values, groups)
            self.log(ctx, f"{name}_mean", fmean(values))
            self.log(ctx, f"{name}_sd", found.sd)
            self.log(ctx, f"{name}_resolution", found.resolution)
            self.log(ctx, f"{name}_flat", found.flat)
        self.log(ctx, "conflicts", fmean((terms["cap"] < 1.0).tolist()))
        golds = {rewards.reference(sample) for sample in batch.samples}
        self.log(ctx, "blind_text", diagnostics.order_blindness(_text_score, sorted(golds))[0])
        self.log(ctx, "blind_guarded", diagnostics.order_blindness(_guarded_score, sorted(golds))[0])

    def state(self) -> dict[str, Any]:
        return {"history": self.history}

    def load(self, state: dict[str, Any]) -> None:
        self.history = [float(value) for value in state["history"]]


def gathered(batch: Batch) -> list[float]:
    """The compared similarities of the rows of all processes, by group, then by place in it.

    Groups are numbered through the step whoever sampled them, so this is the order of a run with one process. Replayed
    rows were counted when they were new.
    """
    fresh = ["advantage" not in rollout.extras for rollout in batch.rollouts]
    counted = batch.terms["compared"] * torch.tensor(fresh, dtype=torch.float64)
    place = torch.arange(len(batch), dtype=torch.float64)
    rows = torch.stack([batch.group.double(), place, counted, batch.terms["similarity"]], dim=1)
    return [row[3] for row in sorted(processes.gather(rows).tolist()) if row[2]]


def _text_score(said: str, gold: str) -> float:
    mine, theirs = conflict.plain_words(said), conflict.plain_words(gold)
    return float(rewards.bleu1(mine, theirs) + rewards.rouge1(mine, theirs)) / 2


def _guarded_score(said: str, gold: str) -> float:
    """The text score where nothing contradicts, 0 where the guard fires."""
    return 0.0 if conflict.conflicts(said, gold) else _text_score(said, gold)
