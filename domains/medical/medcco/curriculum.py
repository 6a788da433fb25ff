"""From closed to open questions: which share of a step's prompts is closed (MedCCO, arXiv 2505.19213).

    stage 1   {medcco/curriculum.py:Mix: {closed: 1.0}}
    stage 2   {medcco/curriculum.py:Mix: {closed: 0.0}}      0.1: with a tenth of replay against forgetting
    joint     {medcco/curriculum.py:Mix: {closed: 0.5}}

Stages that begin with a fresh optimiser and the last stage's weights as reference are training stages of their own,
each with its share; two entries with `from` and `until` make a curriculum inside one run. Stage lengths are a fixed
number of steps; `plateau` is the other rule [reconstructed], counted here and told as a metric.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict
from mmreason.curriculum.sampler import take
from mmreason.errors import UserError
from mmreason.models.encode import Example
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method
from mmreason.project import load_module
from mmreason.run import processes

rewards = load_module(Path(__file__).parent / "rewards.py")

WINDOW, SPAN, LEAST = 20, 50, 0.005
"""A mean over 20 steps that gained less than half a point in 50 steps is a plateau [reconstructed]."""


class Mix(Method):
    """Sampler. Counters: closed prompts of the step; 1 where closed accuracy has reached a plateau."""

    source = "MedCCO, arXiv 2505.19213; reconstructed"
    provenance = "reconstructed"
    shared = True

    class Settings(Strict):
        """The share, and the order of the prompts."""

        closed: float = Field(1.0, ge=0, le=1)
        """Share of closed questions among a step's prompts; the rest are open."""
        seed: int = 0
        """Of the order inside each kind and of the places of both in a step."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.taken = {"closed": 0, "open": 0}
        self.accuracies: list[float] = []
        """Closed accuracy of the last steps that had closed questions."""

    def choose(self, pool: Sequence[Example], count: int, ctx: Context) -> list[int]:
        """Indices so that over all steps together the share is met to within one prompt. Raises UserError for a share
        of questions that the pool does not hold."""
        total = sum(self.taken.values()) + count
        wanted = {"closed": min(max(round(total * self.settings.closed) - self.taken["closed"], 0), count)}
        wanted["open"] = count - wanted["closed"]
        chosen: list[int] = []
        for kind, number in wanted.items():
            places = [place for place, one in enumerate(pool) if rewards.is_closed(one.sample) == (kind == "closed")]
            if number and not places:
                raise UserError(
                    f"method {self.name or 'mix'} wants {number} {kind} questions in step {ctx.step}, and none of the "
                    f"{len(pool)} prompts is {kind}: set its share `closed`, or give the data such questions"
                )
            order = take(len(places), self.settings.seed, self.taken[kind], number) if number else []
            chosen += [places[index] for index in order]
            self.taken[kind] += number
        random.Random(f"{self.settings.seed}:{total}").shuffle(chosen)
        self.log(ctx, "closed", wanted["closed"])
        return chosen

    def observe(self, batch: Batch, ctx: Context) -> None:
        """Closed accuracy of the step's training groups into the record that `plateau` reads."""
        closed = [rewards.is_closed(sample) for sample in batch.samples]
        right = processes.total(sum(float(ok) for ok, own in zip(batch.correct.tolist(), closed, strict=True) if own))
        number = processes.total(sum(closed))
        if number:
            self.accuracies = [*self.accuracies, right / number][-(SPAN + WINDOW) :]
        self.log(ctx, "plateau", plateau(self.accuracies))

    def state(self) -> dict[str, Any]:
        return {"taken": self.taken, "accuracies": self.accuracies}

    def load(self, state: dict[str, Any]) -> None:
        self.taken = {kind: int(number) for kind, number in state["taken"].items()}
        self.accuracies = [float(value) for value in state["accuracies"]]


def plateau(accuracies: Sequence[float], window: int = WINDOW, span: int = SPAN, least: float = LEAST) -> bool:
    """Whether the mean of the last `window` gained less than `least` over the mean `span` steps earlier; False while
    fewer than span + window are known."""
    if len(accuracies) < span + window:
        return False
    now, before = accuracies[-window:], accuracies[-span - window : -span]
    return fmean(now) - fmean(before) < least
