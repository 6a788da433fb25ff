"""Rows as tensors: where prompts and responses stand, what is masked, and which picture follows which."""

from __future__ import annotations

import torch

from mmreason.models.codec import Encoded
from mmreason.models.medium import Medium
from mmreason.models.rows import make_rows

CPU = torch.device("cpu")


def test_prompts_end_and_responses_begin_at_one_column() -> None:
    rows = make_rows([Encoded([1, 2, 3]), Encoded([4])], [[5], [6, 7]], 0, CPU)
    assert rows.ids.tolist() == [[1, 2, 3, 5, 0], [0, 0, 4, 6, 7]]
    assert rows.attention.int().tolist() == [[1, 1, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert rows.responses.tolist() == [[5, 0], [6, 7]]
    assert rows.mask.int().tolist() == [[1, 0], [1, 1]]
    assert rows.media == ()


def test_a_pad_id_inside_a_row_is_text() -> None:
    """What is padding is decided by place, not by the id: an end token may be the pad token."""
    rows = make_rows([Encoded([0, 1])], [[2, 0]], 0, CPU)
    assert rows.attention.all()
    assert rows.mask.all()


def test_without_responses() -> None:
    rows = make_rows([Encoded([1, 2]), Encoded([3])], [(), ()], 9, CPU)
    assert rows.ids.tolist() == [[1, 2], [9, 3]]
    assert rows.responses.shape == rows.mask.shape == (2, 0)


def test_pictures_follow_the_rows() -> None:
    small, large = (Medium(torch.full((count, 2), float(count)), (1, 2, count // 2)) for count in (4, 8))
    rows = make_rows([Encoded([1], (large, small)), Encoded([1]), Encoded([1], (small,))], [[2], [2], [2]], 0, CPU)
    assert rows.media == (large, small, small)
