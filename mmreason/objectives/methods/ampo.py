"""AMPO: where no rollout succeeds, correct answers of several teachers take the place of some.

k rows of such a group are overwritten by teacher answers that the verifier calls right, best first by how well the
policy understands them: the mean over t of pi(a*_t | q, the teacher's reasoning), the probability of the gold answer's
tokens behind it. Advantages are r - mean over the mixed group. Teacher rows have f(pi) = pi / (pi + 0.1) in place of
ratio and clip, and weigh by their own length; own rows are clipped as ever and divided by the constant limit:

    J = 1/N [ sum over own rows   1/L_max sum_t min(rho A, clip(rho) A)
            + sum over teacher's  1/L_i   sum_t f(pi_t) A ]  +  0.001 x entropy

Teacher answers longer than the limit are passed over. A group without a right one stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.models.codec import Encoded
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch
from mmreason.objectives.external import entropy_with_gradient, shaped_probability_loss
from mmreason.objectives.method import Context, Forward, Group, Method, Need, Trait
from mmreason.objectives.reduce import token_weights
from mmreason.objectives.stage import solved
from mmreason.records import Rollout, Sample, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rewards.extract import find_boxes
from mmreason.run import processes

KEY = "teachers"


def teacher_texts(sample: Sample) -> list[str]:
    """The answers of the teachers. Raises UserError naming the sample where there are none."""
    texts = sample.metadata.get(KEY)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"sample {sample.id}: ampo needs answers of teachers, found {texts!r} under {KEY!r} in its metadata where "
            "a list of texts is expected; collect them first, or leave the method out"
        )
    return texts


def up_to_answer(text: str) -> str:
    """The text up to where its final answer stands: the last box, else what follows the reasoning, else the end."""
    boxes = find_boxes(text)
    if boxes:
        return text[: text.index("{", boxes[-1].start) + 1]
    before, closed, _ = text.rpartition("</think>")
    return before + closed or text


def gold_behind(row: Rollout, group: Group, ctx: Context) -> tuple[Encoded, list[int]]:
    """What to score: the prompt with the row's reasoning, and the ids of the gold answer."""
    assert ctx.codec is not None
    head, gold = (
        ctx.codec.tokenizer.encode(text, add_special_tokens=False)
        for text in (up_to_answer(row.text), group.sample.answer.gold)
    )
    return Encoded([*group.prompt.ids, *head], group.prompt.media), gold


class Ampo(Method):
    """RolloutStage, AdvEstimator, RatioRule, Reducer. Counters: groups that failed, rows put in, answers too long."""

    source = "AMPO, More Than One Teacher, arXiv 2510.02227"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SCORE})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.RESCUES, Trait.EXTERNAL_ROWS})

    class Settings(Strict):
        """The authors have four teachers, groups of 8 and a clip of 0.2."""

        rows: int = 2
        """k, the most rows that teachers get in a group [published]."""
        gamma: float = 0.1
        """Of f(pi) = pi / (pi + gamma) [published]."""
        entropy: Coefficient = 0.001
        """Weight of the entropy bonus [published]."""

    def check(self, grpo: Any) -> None:
        if not 0 < self.settings.rows < grpo.group_size:
            raise UserError(
                f"ampo puts {self.settings.rows} teacher rows into groups of grpo.group_size={grpo.group_size}: at "
                "least one and fewer than all are expected"
            )

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        failed = [group for group in groups if not any(solved(group, ctx))]
        self.log(ctx, "failed", len(failed))
        right = [self._right(group, ctx) for group in failed]
        pairs = [gold_behind(row, group, ctx) for group, rows in zip(failed, right, strict=True) for row in rows]
        scores = iter(ctx.score(pairs) if pairs and ctx.score is not None else [])
        for group, rows in zip(failed, right, strict=True):
            understood = [float(next(scores).double().exp().mean()) for _ in rows]
            ranked = sorted(zip(understood, rows, strict=True), key=lambda pair: -pair[0])
            chosen = [row for _, row in ranked][: min(self.settings.rows, len(group.rollouts) - 1)]
            # The last rows go: a rollout that others fork from stands before them.
            group.rollouts = [*group.rollouts[: len(group.rollouts) - len(chosen)], *chosen]
            self.log(ctx, "teacher_rows", len(chosen))
        return groups

    def _right(self, group: Group, ctx: Context) -> list[Rollout]:
        """Teacher answers that fit the limit and that the verifier calls right."""
        rows = [self._row(text, group, ctx) for text in teacher_texts(group.sample)]
        fitting = [row for row in rows if len(row.ids) <= ctx.sampling.max_new_tokens]
        self.log(ctx, "too_long", len(rows) - len(fitting))
        return [row for row, ok in zip(fitting, solved(group, ctx, fitting), strict=True) if ok]

    def _row(self, text: str, group: Group, ctx: Context) -> Rollout:
        assert ctx.codec is not None
        ids = tuple(ctx.codec.encode_response(text))
        segments = (Segment(0, len(ids), SegmentKind.TEACHER),)
        row = Rollout(tuple(group.prompt.ids), ids, (0.0,) * len(ids), text, Stop.EOS, segments)
        return replace(row, external=True)

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        return estimate(batch, "centred", torch.ones(len(batch), dtype=torch.bool))

    def weigh(self, batch: Batch, ctx: Context) -> torch.Tensor:
        own = token_weights(batch.mask, "constant", limit=ctx.sampling.max_new_tokens, total=processes.total)
        others = token_weights(batch.mask, "sequence", total=processes.total)
        return torch.where(batch.external.unsqueeze(1), others, own)

    def external(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        return shaped_probability_loss(advantage, forward, self.settings.gamma)

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        return {"ampo_entropy": entropy_with_gradient}

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return -self.at(self.settings.entropy, ctx) * forward.extras["ampo_entropy"], None
