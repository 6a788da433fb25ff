"""SIRI: the limit on the length of an answer oscillates over the run.

    L_max(s) = L_lo + (L_hi - L_lo) (1 + cos(2 pi s / C)) / 2          answers that the limit cuts have reward 0

A falling limit presses the chain of thought together, a rising one lets it grow from denser text. The smooth cosine is
[reconstructed]; stairs are written as phases of the method (`from`, `until`) with a number for `tokens`.

The recipe's part: clip_high above clip_low, kl_beta 0, overlong: keep.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from mmreason.config.schedule import Coefficient, Schedule
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Trait


class SIRI(Method):
    """Schedule of the rollout limit and a reward factor. Counters: the limit, share of answers that it cuts."""

    source = "SIRI, arXiv 2509.25176"
    provenance = "mixed"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.SCORES_TRUNCATED})
    combine = "mul"

    class Settings(Strict):
        """The limit over the run."""

        tokens: Coefficient = Schedule(kind="oscillate", start=16384.0, end=8192.0, steps=300)
        """L_max between 8k and 16k [published]; a period of 300 steps [reconstructed: "several hundred"]."""

    def limit(self, ctx: Context) -> int:
        return max(round(self.at(self.settings.tokens, ctx)), 1)

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return (~batch.truncated).double()

    def observe(self, batch: Batch, ctx: Context) -> None:
        self.log(ctx, "limit", self.limit(ctx))
        self.log(ctx, "cut", int(batch.truncated.sum()) / max(len(batch), 1))
