"""The order of training: any slicing of the stream is the same stream."""

from __future__ import annotations

from collections import Counter

import pytest

from mmreason.curriculum.sampler import take


@pytest.mark.parametrize("count", [1, 5, 12])
@pytest.mark.parametrize("size", [1, 4, 7, 30])
def test_any_slicing_is_one_stream(count: int, size: int) -> None:
    whole = take(count, 3, 0, 60)
    sliced = [index for start in range(0, 60, size) for index in take(count, 3, start, min(size, 60 - start))]
    assert sliced == whole


def test_every_index_once_an_epoch() -> None:
    stream = take(7, 0, 0, 7 * 20)
    for epoch in range(20):
        assert sorted(stream[epoch * 7 : (epoch + 1) * 7]) == list(range(7))
    assert set(Counter(stream).values()) == {20}


def test_epochs_and_seeds_differ() -> None:
    one = take(50, 0, 0, 50)
    assert one != take(50, 0, 50, 50)
    assert one != take(50, 1, 0, 50)
    assert one == take(50, 0, 0, 50)
    assert one != list(range(50))


def test_a_resumed_stream_needs_no_state() -> None:
    """The draw of step 9 is the same whether steps 1 to 8 were drawn here or by a process that died."""
    before = [take(10, 5, step * 4, 4) for step in range(8)]
    assert take(10, 5, 8 * 4, 4) == take(10, 5, 0, 9 * 4)[-4:]
    assert before == [take(10, 5, 0, 32)[step * 4 : step * 4 + 4] for step in range(8)]


def test_a_batch_may_span_epochs() -> None:
    assert take(3, 0, 2, 2) == [take(3, 0, 0, 3)[2], take(3, 0, 3, 3)[0]]
