"""The k largest of a row of scores, exactly, equal scores in the order of their places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def top_k(scores: NDArray[Any], k: int, above: float | None = None) -> NDArray[np.int64]:
    """Places (at most k) of the largest `scores` (N,), best first; with `above`, only scores greater than it.

    Partitioned, so it costs O(N) and not O(N log N); what is at the k-th score is settled by place, so that the answer
    is the same on every machine.
    """
    places = np.arange(scores.size) if above is None else np.flatnonzero(scores > above)
    if places.size > k:
        held = scores[places]
        kth = np.partition(held, held.size - k)[held.size - k]
        places = places[held >= kth]
    order = np.lexsort((places, -scores[places]))[:k]
    return places[order].astype(np.int64)
