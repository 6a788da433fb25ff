"""Several prompts that begin alike, as one prompt to prefill and what each goes on with.

Questions about one clip, image or report differ in their last lines alone. An engine prefills a `Request.prompt` once
for all requests that hold the same one, so the split is the whole trick: ids and positions stay what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmreason.models.codec import Codec, Encoded
from mmreason.rollout.engine import Request
from mmreason.rollout.pieces import media_spans

LEAST = 32
"""Shortest common beginning without media that is worth a forward pass of its own."""


def _begin_alike(a: Encoded, b: Encoded) -> int:
    """Ids that both begin with."""
    pairs = zip(a.ids, b.ids, strict=False)
    return next((place for place, (x, y) in enumerate(pairs) if x != y), min(len(a.ids), len(b.ids)))


def _media_within(prompt: Encoded, other: Encoded, length: int, spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(length, media): a common beginning of at most `length` ids that cuts no medium and holds equal ones only."""
    for index, (start, end) in enumerate(spans):
        if start >= length:
            return length, index
        same = index < len(other.media) and prompt.media[index].key == other.media[index].key
        if end > length or not same:
            return start, index
    return length, len(spans)


def common_length(a: Encoded, b: Encoded, codec: Codec, name: str = "") -> tuple[int, int]:
    """Ids and media that two prompts share at their beginning; the last id of neither is shared."""
    shortest = min(len(a.ids), len(b.ids)) - 1
    length = min(_begin_alike(a, b), shortest)
    return _media_within(a, b, length, media_spans(a.ids, a.media, codec, name))


def share(requests: Sequence[Request], codec: Codec, least: int = LEAST) -> list[Request]:
    """The requests, in order, with neighbours that begin alike split after what they share.

    A run of neighbours is split at one place, so that it makes one prompt; alone or with less than `least` ids and no
    medium in common a request stays whole. Requests that already hold a begun answer stay whole too.
    """
    shared: list[Request] = []
    start = 0
    while start < len(requests):
        length, media, end = _run(requests, start, codec, least)
        shared += [_split(request, length, media) for request in requests[start:end]]
        start = end
    return shared


def _run(requests: Sequence[Request], start: int, codec: Codec, least: int) -> tuple[int, int, int]:
    """(ids, media, end): the neighbours [start, end) share this beginning; 0 ids for a request that stands alone."""
    first = requests[start]
    length, media, end = 0, 0, start + 1
    while end < len(requests) and not first.begun and not requests[end].begun:
        ids, held = common_length(first.prompt, requests[end].prompt, codec, first.sample.id)
        joined = end - start
        if (ids < least and not held) or joined * min(ids, length or ids) < (joined - 1) * length:
            break  # a longer beginning of those before would save more than one more neighbour does
        if not length or ids < length:
            length, media = ids, held
        end += 1
    return length, media, end


def _split(request: Request, length: int, media: int) -> Request:
    if not length:
        return request
    ids, held = request.prompt.ids, request.prompt.media
    return replace(request, prompt=Encoded(ids[:length], held[:media]), begun=tuple(ids[length:]), media=held[media:])
