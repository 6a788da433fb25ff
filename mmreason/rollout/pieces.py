"""Rollouts in pieces: where their media stand, one piece after another, a prefix, and a fork to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmreason.errors import UserError
from mmreason.records import Rollout, Stop
from mmreason.records.rollout import Segment, SegmentKind
from mmreason.rollout.engine import Request

if TYPE_CHECKING:
    from mmreason.models.codec import Codec
    from mmreason.models.medium import Medium

TOKEN_EXTRAS = ("temperatures",)
"""Keys of `Rollout.extras` that hold one value a token."""


def media_spans(ids: Sequence[int], media: Sequence[Medium], codec: Codec, name: str) -> list[tuple[int, int]]:
    """For each medium its first placeholder among `ids` and the end of its last one.

    Placeholders are given out in order, so a clip may stand in several runs (a time stamp before each frame). Raises
    UserError naming the sample `name` where their number is not the one that the media make.
    """
    visual = set(codec.visual_ids)
    places = [place for place, token in enumerate(ids) if token in visual]
    counts = [medium.num_tokens(codec.merge) for medium in media]
    if len(places) != sum(counts):
        raise UserError(
            f"sample {name}: {len(places)} visual tokens among the ids, its {len(counts)} pictures and clips make "
            f"{sum(counts)}; a picture was cut or the data were built for another model"
        )
    ends = [sum(counts[: index + 1]) for index in range(len(counts))]
    return [(places[end - count], places[end - 1] + 1) for count, end in zip(counts, ends, strict=True)]


def join(first: Rollout, more: Rollout, codec: Codec | None = None) -> Rollout:
    """`first` with the ids of `more` behind its own; stop reason of `more`, place in the tree of `first`.

    `text` is one text behind the other; give `codec` where a cut may lie inside a character, then it is read anew by
    `written`. Entropies are kept where both have them.
    """
    ids = first.ids + more.ids
    turn = first.pieces[-1].turn if first.ids else 0
    moved = [
        Segment(piece.start + len(first.ids), piece.end + len(first.ids), piece.kind, piece.turn + turn)
        for piece in more.pieces
    ]
    extras = first.extras | more.extras
    for key in TOKEN_EXTRAS:
        if key in extras:
            extras = {**extras, key: _values(first, first.extras.get(key)) + _values(more, more.extras.get(key))}
    whole = len(first.entropies) == len(first.ids) and len(more.entropies) == len(more.ids)
    joined = replace(
        first,
        ids=ids,
        logprobs=first.logprobs + more.logprobs,
        text=first.text + more.text,
        stop=more.stop,
        segments=_merged([*(first.pieces if first.ids else ()), *moved]),
        media=first.media + more.media,
        entropies=first.entropies + more.entropies if whole else (),
        external=first.external or more.external,
        same_context=first.same_context and more.same_context,
        extras=extras,
    )
    return joined if codec is None else replace(joined, text=written(joined, codec))


def written(rollout: Rollout, codec: Codec) -> str:
    """The answer as graders read it: all but what tools wrote, which is left out with a line break in its place."""
    runs: list[list[int]] = [[]]
    for piece in rollout.pieces:
        if piece.kind in (SegmentKind.TOOL, SegmentKind.ECHOED):
            runs.append([])
        else:
            runs[-1] += rollout.ids[piece.start : piece.end]
    return "\n".join(codec.decode(run) for run in runs if run)


def _values(rollout: Rollout, held: list[float] | None) -> list[float]:
    """One value a token; 0 where nothing is known, which stands for the sampling's own temperature."""
    return list(held) if held is not None else [0.0] * len(rollout.ids)


def _merged(pieces: Sequence[Segment]) -> tuple[Segment, ...]:
    """Neighbours of one kind and turn as one segment, empty ones left out."""
    out: list[Segment] = []
    for piece in pieces:
        if piece.start == piece.end:
            continue
        if out and (out[-1].kind, out[-1].turn) == (piece.kind, piece.turn):
            out[-1] = Segment(out[-1].start, piece.end, piece.kind, piece.turn)
        else:
            out.append(piece)
    return tuple(out)


def cut(rollout: Rollout, at: int, codec: Codec) -> Rollout:
    """The first `at` ids as a rollout of their own, to be continued.

    Raises ValueError where `at` lies outside the rollout or inside a picture.
    """
    if not 0 <= at <= len(rollout.ids):
        raise ValueError(f"a cut at {at} of a rollout of {len(rollout.ids)} ids")
    spans = media_spans(rollout.ids, rollout.media, codec, "(a rollout's)")
    inside = [span for span in spans if span[0] < at < span[1]]
    if inside:
        raise ValueError(f"a cut at {at} inside the picture at {inside[0][0]}..{inside[0][1]}")
    extras: dict[str, Any] = {
        key: value[:at] if key in TOKEN_EXTRAS else value for key, value in rollout.extras.items()
    }
    kept = replace(
        rollout,
        ids=rollout.ids[:at],
        logprobs=rollout.logprobs[:at],
        stop=Stop.CUT,
        segments=_merged([Segment(p.start, min(p.end, at), p.kind, p.turn) for p in rollout.pieces if p.start < at]),
        media=tuple(medium for medium, (_, end) in zip(rollout.media, spans, strict=True) if end <= at),
        entropies=rollout.entropies[:at],
        extras=extras,
    )
    return replace(kept, text=written(kept, codec))


def fork(request: Request, rollout: Rollout, at: int, codec: Codec) -> Request:
    """What an engine is asked to go on from the first `at` ids of `rollout`.

    `request` is any that has the rollout's sample and prompt; what it had begun is not added.
    """
    kept = cut(rollout, at, codec)
    return replace(request, begun=kept.ids, media=kept.media)


def branch(parent: Rollout, index: int, at: int, more: Rollout, codec: Codec) -> Rollout:
    """The rollout that leaves `parent`, the group's number `index`, after `at` ids and goes on with `more`."""
    return replace(join(cut(parent, at, codec), more, codec), parent=index, fork=at)


def put_in(ids: Sequence[int], kind: SegmentKind, turn: int = 0, media: Sequence[Medium] = ()) -> Rollout:
    """Ids that the policy did not write, as a piece to join: log-probabilities and entropies of 0, no text."""
    zeros = (0.0,) * len(ids)
    segments = (Segment(0, len(ids), kind, turn),)
    return Rollout((), tuple(ids), zeros, "", Stop.CUT, segments, tuple(media), entropies=zeros)
