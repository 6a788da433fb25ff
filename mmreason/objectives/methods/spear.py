"""SPEAR: good answers of past steps are learnt once more, the more so the later, and tool calls pay at first.

Answers with A > 0 and a tool call go into a buffer and leave it after some steps. When it is full they are replayed in
one step with advantages against the baseline of today, and the buffer begins anew:

    A' = (r - P50 of past group means) / P50 of past group deviations, those with A' > 0

Their loss has the coefficient 1/2 (1 - cos(pi s / S_r)), 1 from step S_r on, and of their tokens a share with
covariance of A' and log-probability inside a band is left out, as in Clip-Cov. Every answer gets
min(0.1 x tool calls, 1) x 1/2 (1 + cos(pi s / S_t)) on top of its reward, nothing from step S_t on.

Replayed rows keep the log-probabilities that they were sampled with; the gap to the policy of today is weighed by
`grpo.mismatch`, which must be on. The base is Dr. GRPO's (`grpo.algorithm: dr_grpo`). Answers with pictures inside
are not stored. Replayed groups come on top of the step's, in optimiser updates of their own where those are full.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any, ClassVar

import torch

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Forward, Group, Method, Shaped, Trait
from mmreason.objectives.tokens import covariance
from mmreason.records import Rollout, Sample, Stop
from mmreason.records.rollout import Segment, SegmentKind

ADVANTAGE, REPLAYED = "advantage", "spear"
"""Keys of `Rollout.extras`: the loop takes the first as it is; the second marks our rows."""


def pack(rollout: Rollout) -> dict[str, Any]:
    """JSON-ready; pictures, entropies and the place in a tree are left behind."""
    return {
        "prompt_ids": list(rollout.prompt_ids),
        "ids": list(rollout.ids),
        "logprobs": list(rollout.logprobs),
        "text": rollout.text,
        "stop": rollout.stop.value,
        "segments": [[p.start, p.end, p.kind.value, p.turn] for p in rollout.pieces],
        "same_context": rollout.same_context,
    }


def unpack(row: Mapping[str, Any], extras: dict[str, Any]) -> Rollout:
    """Inverse of `pack`."""
    segments = tuple(Segment(start, end, SegmentKind(kind), turn) for start, end, kind, turn in row["segments"])
    prompt, ids, logprobs = (tuple(row[key]) for key in ("prompt_ids", "ids", "logprobs"))
    rollout = Rollout(prompt, ids, logprobs, row["text"], Stop(row["stop"]), segments, extras=extras)
    return replace(rollout, same_context=row["same_context"])


def tool_calls(rollout: Rollout) -> int:
    """Replies of tools in an answer."""
    return sum(piece.kind is SegmentKind.TOOL for piece in rollout.pieces)


class Spear(Method):
    """Replay, RewardTerm and TokenShaper. Counters: rows stored, held and replayed, replayed tokens left out."""

    source = "SPEAR, Learn the Ropes, Then Trust the Wins, arXiv 2509.22601"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RECALIBRATES, Trait.SHAPES_REWARD, Trait.COVARIANCE})

    class Settings(Strict):
        """Steps count from 1."""

        capacity: int = 2048
        """Rows that make the buffer full [published]."""
        baselines: int = 10240
        """Group means and deviations held, the newest [published]."""
        age: int = 10
        """Steps after which a row leaves [published: 5 to 10]."""
        tools_only: bool = True
        """Store answers with a tool call alone [published]; off for domains without tools."""
        replay_steps: int = 100
        """S_r [published]."""
        tool_steps: int = 200
        """S_t [published]."""
        share: float = 0.02
        """Of the replayed tokens, how many may be left out [published]."""
        low: float = 2.0
        """Lower end of the covariance band [published]."""
        high: float = 60.0
        """Upper end of the band [published]."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.rows: list[dict[str, Any]] = []
        self.means: list[float] = []
        self.deviations: list[float] = []

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "means": self.means, "deviations": self.deviations}

    def load(self, state: dict[str, Any]) -> None:
        self.rows, self.means, self.deviations = state["rows"], state["means"], state["deviations"]

    def check(self, grpo: Any) -> None:
        if grpo.mismatch == "off":
            raise UserError(
                "spear replays answers of older policies, whose probabilities count through grpo.mismatch alone, which "
                "is off: set it to truncate"
            )

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return torch.tensor([min(0.1 * tool_calls(r), 1.0) for r in batch.rollouts], dtype=torch.float64)

    def weight(self, ctx: Context) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * min(ctx.step / self.settings.tool_steps, 1.0)))

    def draw(self, ctx: Context) -> list[Group]:
        """One group for each prompt of a full buffer; asked twice in a step, it gives the same."""
        if len(self.rows) < self.settings.capacity or not self.deviations or median(self.deviations) == 0.0:
            return []
        assert ctx.codec is not None
        groups: dict[tuple[str, tuple[int, ...]], Group] = {}
        for row in self.rows:
            advantage = (row["reward"] - median(self.means)) / median(self.deviations)
            if advantage <= 0.0:
                continue
            sample = Sample.from_dict(row["sample"])
            rollout = unpack(row["rollout"], {ADVANTAGE: advantage, "reward": row["reward"], REPLAYED: True})
            key = (sample.id, rollout.prompt_ids)
            if key not in groups:
                prompt = Encoded(list(rollout.prompt_ids), ctx.codec.encode(sample).media)
                groups[key] = Group(sample, prompt, [], -1 - len(groups))
            groups[key].rollouts.append(rollout)
        return list(groups.values())

    def remember(self, batch: Batch, advantage: torch.Tensor, ctx: Context) -> None:
        fresh = [row for row, rollout in enumerate(batch.rollouts) if ADVANTAGE not in rollout.extras]
        if len(self.rows) >= self.settings.capacity:
            self.rows = []  # `draw` gave them to this step
            self.log(ctx, "replayed", len(batch) - len(fresh))
        own = batch.take(fresh)
        for number in own.numbers():
            rewards = own.reward[own.rows_of(number)]
            self.means.append(float(rewards.mean()))
            self.deviations.append(float(rewards.std(correction=0)))
        self.means, self.deviations = (kept[-self.settings.baselines :] for kept in (self.means, self.deviations))
        added = [self._stored(batch, row, ctx) for row in fresh if self._good(batch, row, advantage)]
        young = [row for row in self.rows if ctx.step - row["step"] < self.settings.age]
        self.rows = [*young, *added][-self.settings.capacity :]
        self.log(ctx, "stored", len(added))
        self.log(ctx, "held", len(self.rows))

    def _good(self, batch: Batch, row: int, advantage: torch.Tensor) -> bool:
        rollout = batch.rollouts[row]
        called = tool_calls(rollout) > 0 or not self.settings.tools_only
        gained = float(torch.where(batch.mask[row], advantage[row], 0.0).sum()) > 0.0
        return called and gained and not rollout.media and not rollout.external

    def _stored(self, batch: Batch, row: int, ctx: Context) -> dict[str, Any]:
        sample, rollout = batch.samples[row].to_dict(), pack(batch.rollouts[row])
        return {"sample": sample, "rollout": rollout, "reward": float(batch.reward[row]), "step": ctx.step}

    def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
        replayed = torch.tensor([REPLAYED in r.extras for r in micro.rollouts], device=micro.mask.device).unsqueeze(1)
        mask = micro.mask & replayed
        cov = covariance(advantage, forward.logp, mask)
        band = mask & (cov > self.settings.low) & (cov < self.settings.high)
        places = band.flatten().nonzero().squeeze(-1)
        # the micro-batches of a step would otherwise all draw the same places
        order = torch.randperm(len(places), generator=ctx.generator(int(micro.group[0])))
        keep = micro.mask.clone()
        keep.view(-1)[places[order[: int(self.settings.share * int(mask.sum()))].to(places.device)]] = False
        self.log(ctx, "left_out", float(micro.mask.sum() - keep.sum()))
        coefficient = 0.5 * (1.0 - math.cos(math.pi * min(ctx.step / self.settings.replay_steps, 1.0)))
        weight = torch.where(replayed, coefficient, 1.0).expand(micro.mask.shape)
        return Shaped(advantage, weight.to(forward.logp), keep)
