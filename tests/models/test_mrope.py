"""Three-axis positions: against transformers for pictures, by hand for clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel

from mmreason.errors import UserError
from mmreason.models.medium import Medium
from mmreason.models.mrope import Rules, row_positions

IMAGE, VIDEO = 7, 8
RULES = Rules((IMAGE, VIDEO), merge=2, tokens_per_second=2.0)


def medium(grid: tuple[int, int, int], kind: str = "image", seconds: float = 1.0) -> Medium:
    return Medium(torch.zeros(0), grid, kind, seconds, key=str(grid))


def test_text_alone_counts_up_on_all_axes() -> None:
    assert row_positions(np.array([1, 2, 3]), [], RULES).tolist() == [[0, 1, 2]] * 3


def test_pictures_as_transformers_counts_them() -> None:
    media = [medium((1, 4, 6)), medium((1, 8, 2))]
    ids = np.array([1, 2, *[IMAGE] * 6, 3, *[IMAGE] * 4, 4, 5])

    class Rope:
        config = Qwen2_5_VLConfig(image_token_id=IMAGE, video_token_id=VIDEO)
        get_rope_index = Qwen2_5_VLModel.get_rope_index
        get_vision_position_ids = Qwen2_5_VLModel.get_vision_position_ids

    grids = torch.tensor([m.grid for m in media])
    kinds = torch.tensor(ids == IMAGE).int()[None]
    expected, _ = Rope().get_rope_index(torch.tensor(ids)[None], kinds, image_grid_thw=grids)
    assert row_positions(ids, media, RULES).tolist() == expected[:, 0].tolist()


def test_text_after_a_clip_goes_on_after_its_last_second() -> None:
    """Three frame pairs 1.5 s apart at two positions a second: times 0, 3, 6, so text goes on at 1 + 6 + 1."""
    found = row_positions(np.array([1, *[VIDEO] * 6, 2, 3]), [medium((3, 2, 4), "video", 1.5)], RULES)
    assert found.tolist() == [
        [0, 1, 1, 4, 4, 7, 7, 8, 9],
        [0, 1, 1, 1, 1, 1, 1, 8, 9],
        [0, 1, 2, 1, 2, 1, 2, 8, 9],
    ]


def test_frames_between_timestamps_stand_by_themselves() -> None:
    rules = Rules((IMAGE, VIDEO), merge=2, frames_apart=True)
    found = row_positions(np.array([1, VIDEO, VIDEO, 2, VIDEO, VIDEO, 3]), [medium((2, 2, 4), "video")], rules)
    assert found.tolist() == [[0, 1, 1, 3, 4, 4, 6], [0, 1, 1, 3, 4, 4, 6], [0, 1, 2, 3, 4, 5, 6]]


def test_what_disagrees_is_refused() -> None:
    with pytest.raises(UserError, match="3 visual tokens, 4 features of 1 media"):
        row_positions(np.array([IMAGE] * 3), [medium((1, 4, 4))], RULES)
