"""Uniform order over a data set: a function of the seed and the position alone, so nothing need be stored."""

from __future__ import annotations

import functools
import random


@functools.lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return order


def take(count: int, seed: int, start: int, number: int) -> list[int]:
    """Indices at positions start .. start+number of the endless reshuffled stream over `count` samples."""
    places = range(start, start + number)
    return [_permutation(count, seed, place // count)[place % count] for place in places]
