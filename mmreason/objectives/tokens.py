"""What several methods ask of tokens: a quantile, the covariance with the advantage, their places in the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mmreason.models.codec import Codec

Span = tuple[int, int]
BROKEN = "\ufffd"
"""What a decoder writes for bytes that are no character."""
MOST_HELD = 16
"""Tokens that wait for the rest of a character; garbage would otherwise be decoded again and again."""


def quantile(values: torch.Tensor, share: float) -> torch.Tensor:
    """The `share`-quantile of values [n], linear between neighbours; +inf where there are none.

    torch.quantile gives the same, but refuses more than 2^24 values, which one batch of long answers has.
    """
    if not len(values):
        return values.new_tensor(torch.inf)
    ordered = values.sort().values
    place = share * (len(ordered) - 1)
    below = int(place)
    return torch.lerp(ordered[below], ordered[min(below + 1, len(ordered) - 1)], place - below)


def covariance(advantage: torch.Tensor, logp: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(A - mean A)(l - mean l) with means over the tokens of `mask`; float64 [n, T], 0 outside, without gradient."""
    count = mask.sum().clamp_min(1)
    centred = []
    for values in (advantage, logp):
        own = torch.where(mask, values.detach().double(), 0.0)
        centred.append(torch.where(mask, own - own.sum() / count, 0.0))
    return centred[0] * centred[1]


def speller(codec: Codec) -> Callable[[Sequence[int]], tuple[str, list[Span]]]:
    """A function from ids to their text, special tokens included, and the span [start, end) of each id in it.

    Byte-level tokenizers cut characters: the ids of one character share its span.
    """
    known: dict[int, str] = {}

    def decode(ids: list[int]) -> str:
        return str(codec.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def alone(number: int) -> str:
        if number not in known:
            known[number] = decode([number])
        return known[number]

    def spell(ids: Sequence[int]) -> tuple[str, list[Span]]:
        pieces: list[str] = []
        spans: list[Span] = []
        held: list[int] = []
        at = 0
        for index, number in enumerate(ids):
            held.append(number)
            piece = alone(number) if len(held) == 1 else decode(held)
            if piece.endswith(BROKEN) and len(held) < MOST_HELD and index + 1 < len(ids):
                continue
            spans += [(at, at + len(piece))] * len(held)
            pieces.append(piece)
            at += len(piece)
            held = []
        return "".join(pieces), spans

    return spell
