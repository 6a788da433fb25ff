"""Rollouts that fork from others: where a fork may be, and the branches that an engine grows from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmreason.errors import UserError
from mmreason.models.codec import Codec
from mmreason.objectives.method import Context, Group
from mmreason.objectives.stage import seed_of
from mmreason.records import Rollout, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rollout.engine import Request
from mmreason.rollout.pieces import branch, cut, fork

Cuts = Sequence[tuple[int, int]]
"""(index of a rollout in its group, how many of its ids the branch keeps)."""


def uncertain_places(rollout: Rollout, count: int, codec: Codec, limit: int, name: str) -> list[int]:
    """The `count` places of highest entropy, highest first, among the policy's own tokens.

    Special tokens and those of a single character are no places to fork at, nor is what lies beyond `limit` ids. The
    list is shorter where there are fewer. Raises UserError naming the sample `name` where entropies are missing.
    """
    if len(rollout.entropies) != len(rollout.ids):
        raise UserError(
            f"sample {name}: {len(rollout.entropies)} entropies for {len(rollout.ids)} tokens of a rollout that is to "
            "be forked; name the method before those that put rows of another hand into the group"
        )
    special = set(codec.tokenizer.all_special_ids)
    places = [
        place
        for place, (token, own) in enumerate(zip(rollout.ids[:limit], rollout.trained, strict=False))
        if own and token not in special and len(codec.decode([token]).strip()) > 1
    ]
    return sorted(places, key=lambda place: -rollout.entropies[place])[:count]


def grow(groups: Sequence[Group], cuts: Sequence[Cuts], n: int, purpose: str, ctx: Context) -> list[list[Rollout]]:
    """`n` branches for each cut of each group, in order; a cut at 0 gives fresh rollouts without parent.

    All groups go to the engine in one call. An answer holds at most the sampling's limit of ids, those of its parent
    included. Only a branch's own tokens carry loss: see `own_part`.
    """
    assert ctx.engine is not None and ctx.codec is not None
    codec, limit = ctx.codec, ctx.sampling.max_new_tokens
    flat = [(group, index, at) for group, own in zip(groups, cuts, strict=True) for index, at in own]
    if not flat:
        return [[] for _ in groups]
    requests = [fork(Request(g.sample, g.prompt), g.rollouts[index], at, codec) for g, index, at in flat]
    asked = replace(ctx.asked, entropies=True, max_new_tokens=limit - min(at for _, _, at in flat))
    made = ctx.engine.extend(requests, ctx.sampling, n, seed_of(ctx, purpose, groups[0].number), asked)
    out: dict[int, list[Rollout]] = {group.number: [] for group in groups}
    for (group, index, at), pieces in zip(flat, made, strict=True):
        for more in pieces:
            grown = own_part(branch(group.rollouts[index], index, at, more, codec)) if at else more
            out[group.number].append(_bounded(grown, limit, codec))
    return [out[group.number] for group in groups]


def own_part(rollout: Rollout) -> Rollout:
    """A branch whose shared beginning carries no loss.

    The policy wrote it, but its parent trains it already: with it in the loss of n branches it would be learnt
    n + 1 times, with advantages that belong to other endings. It is marked SHARED, context that another row trains.
    """
    pieces: list[Segment] = []
    for piece in rollout.pieces:
        shared = SegmentKind.SHARED if piece.kind.trained else piece.kind
        middle = min(max(rollout.fork, piece.start), piece.end)
        parts = (replace(piece, end=middle, kind=shared), replace(piece, start=middle))
        pieces += [part for part in parts if part.start < part.end]
    return replace(rollout, segments=tuple(pieces))


def _bounded(rollout: Rollout, limit: int, codec: Codec) -> Rollout:
    """One call grows from places of unlike length, so a late fork may write past the limit."""
    return rollout if len(rollout.ids) <= limit else replace(cut(rollout, limit, codec), stop=Stop.LENGTH)
