"""Step 2: from prompts to groups of rollouts, through the methods' hooks in their fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmreason.errors import UserError
from mmreason.models.encode import Example
from mmreason.objectives.compose import Composition
from mmreason.objectives.method import Context, Group, Need, Variant
from mmreason.records import Rollout, Segment, SegmentKind
from mmreason.rollout.engine import Asked, Request


def sample_groups(
    examples: Sequence[Example], numbers: Sequence[int], composition: Composition, ctx: Context
) -> list[Group]:
    """One group a prompt: sampled from its contexts, then handed from stage to stage.

    `numbers` are unique over the step and over processes. Raises UserError when a stage leaves a group empty.
    """
    rewriter, heat = composition.one("rewrite", ctx.step), composition.one("heat", ctx.step)
    starter = composition.one("first", ctx.step)
    count = starter.first(ctx) if starter is not None else ctx.group_size
    asked = Asked(
        entropies=Need.ENTROPY_ROLL in composition.needs(ctx.step), heat=heat.heat if heat is not None else None
    )
    ctx = replace(ctx, asked=asked)
    assert ctx.engine is not None
    groups = [Group(e.sample, e.prompt, [], number) for e, number in zip(examples, numbers, strict=True)]
    if rewriter is None:
        requests = [Request(example.sample, example.prompt) for example in examples]
        made = ctx.engine.extend(requests, ctx.sampling, count, ctx.seed, asked)
        for group, rollouts in zip(groups, made, strict=True):
            group.rollouts = list(rollouts)
    else:
        for group, example in zip(groups, examples, strict=True):
            group.rollouts = from_variants(rewriter.rewrite(example, count, ctx), group, ctx, asked)
    for stage in composition.all("roll", ctx.step):
        groups = stage.roll(groups, ctx)
    for group in groups:
        if not group.rollouts:
            raise UserError(f"sample {group.sample.id}: its group is empty after the rollout stages")
    return groups


def from_variants(variants: Sequence[Variant], group: Group, ctx: Context, asked: Asked) -> list[Rollout]:
    """One rollout a context, conditioned in the update on the context that the variant names."""
    assert ctx.engine is not None
    requests = [Request(group.sample, variant.sampled, variant.begun) for variant in variants]
    made = ctx.engine.extend(requests, ctx.sampling, 1, ctx.seed + group.number, asked)
    return [conditioned(rollouts[0], variant) for rollouts, variant in zip(made, variants, strict=True)]


def conditioned(rollout: Rollout, variant: Variant) -> Rollout:
    """The rollout behind what the variant put at its start, on the context that it is trained on."""
    begun = len(variant.begun)
    pieces = [Segment(piece.start + begun, piece.end + begun, piece.kind, piece.turn) for piece in rollout.pieces]
    return replace(
        rollout,
        prompt_ids=tuple(variant.trained.ids),
        ids=variant.begun + rollout.ids,
        logprobs=(0.0,) * begun + rollout.logprobs,
        segments=(Segment(0, begun, SegmentKind.HINT), *pieces) if begun else rollout.segments,
        sub_group=variant.sub_group,
        same_context=variant.trained.ids == variant.sampled.ids,
    )
