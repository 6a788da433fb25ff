"""PEAR: a correct answer is worth less, the more uncertain the thinking before it was.

With the mean entropies of the tokens before and after the end-of-thinking tag (the tag in neither), in nats under the
policy that sampled: P = (H_think - alpha H_answer)_+; the reward is min(1, s - P) for a correct answer and a fixed
score for a wrong one. Without the tag all tokens are thinking and H_answer is 0. The gate comes before the group's
statistics, so a wrong answer never gains by certainty. alpha 0 or -1 compresses too much (the authors).

A reward comes before the old pass, so the entropies are the engine's (`Rollout.entropies`): at the sampling
temperature, and lower bounds from the twenty likeliest tokens with vLLM. The tag is sought in the text of the exact
ids, since tokenizers may write it as several. Tool replies count in neither phase, and a phase without tokens has mean
0. A correct row of another model has no entropies and earns s. P may exceed s: such rows are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch

from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.batch import Batch
from mmreason.objectives.method import Context, Method, Need, Trait
from mmreason.objectives.tokens import Span, speller
from mmreason.records import Rollout


def phases(text: str, spans: list[Span], tag: str) -> tuple[int, int]:
    """(end of thinking, start of the answer) as token positions around the first `tag`; both the length without one."""
    at = text.find(tag)
    if at < 0:
        return len(spans), len(spans)
    tokens = [index for index, (start, end) in enumerate(spans) if start < at + len(tag) and end > at]
    return tokens[0], tokens[-1] + 1


def mean(values: Sequence[float]) -> float:
    """0 of nothing."""
    return sum(values) / len(values) if values else 0.0


class Pear(Method):
    """RewardTerm in place of the recipe's. Counters: mean P of the correct rows, share of rows without the tag, and
    correct rows that earn no more than wrong ones."""

    source = "PEAR, arXiv 2510.08026"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_ROLL})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.ENTROPY_DOWN, Trait.SHAPES_REWARD, Trait.LENGTH})
    combine: ClassVar[Literal["add", "mul", "replace"]] = "replace"

    class Settings(Strict):
        """GRPO with KL, GSM8K prompts."""

        alpha: float = 1.0
        """Weight of the answer's entropy against the thinking's [published]."""
        score: float = 1.0
        """s, of a correct answer [published]."""
        wrong: float = 0.0
        """Score of a wrong answer [published]."""
        tag: str = "</think>"
        """Where thinking ends [published]."""

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        assert ctx.codec is not None
        spell = speller(ctx.codec)
        right = batch.correct > 0.5
        penalty = torch.zeros(len(batch), dtype=torch.float64)
        tagless = 0
        for row, rollout in enumerate(batch.rollouts):
            if rollout.external:
                continue
            if len(rollout.entropies) != len(rollout.ids):
                raise UserError(
                    f"sample {batch.samples[row].id}: pear reads the entropy of each of {len(rollout.ids)} tokens and "
                    f"found {len(rollout.entropies)}; use an engine that reports entropies, or leave pear out"
                )
            penalty[row], tagged = self.penalty(rollout, spell)
            tagless += not tagged
        earned = (self.settings.score - penalty).clamp_max(1.0)
        self.log(ctx, "penalty", float(penalty[right].mean()) if right.any() else 0.0)
        self.log(ctx, "no_tag_share", tagless / max(len(batch), 1))
        self.log(ctx, "not_above_wrong", float((right & (earned <= self.settings.wrong)).sum()))
        return torch.where(right, earned, self.settings.wrong)

    def penalty(self, rollout: Rollout, spell: Callable[[Sequence[int]], tuple[str, list[Span]]]) -> tuple[float, bool]:
        """P of one answer, and whether it has the tag."""
        end, start = phases(*spell(rollout.ids), self.settings.tag)
        counted = list(zip(rollout.entropies, rollout.trained, strict=True))
        think = mean([value for value, own in counted[:end] if own])
        answer = mean([value for value, own in counted[start:] if own])
        return max(think - self.settings.alpha * answer, 0.0), end < start
