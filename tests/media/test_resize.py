"""Sizes and pixels against qwen-vl-utils 0.0.14 and Pillow, and patches against numbers of transformers 5.19.

Whole clips against transformers as it runs: `test_video_processor.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.resize import frame_bounds, patchify, resize_frames, smart_resize

UNIT = 28**2
BUDGET = 24_576 * UNIT


def pattern(frames: int, height: int, width: int) -> torch.Tensor:
    """uint8 [T, 3, H, W] that anyone can make again."""
    t, c, y, x = np.indices((frames, 3, height, width))
    return torch.from_numpy(((t * 17 + c * 29 + y * 7 + x * 13 + (y * x) // 11) % 256).astype(np.uint8))


@pytest.mark.parametrize(
    ("frames", "side", "bounds", "expected"),
    [
        (32, (1080, 1920), {}, (560, 1008)),
        (300, (1080, 1920), {}, (560, 1008)),
        (512, (1080, 1920), {}, (420, 784)),
        (768, (1080, 1920), {}, (336, 644)),
        (32, (1080, 1920), {"max_pixels": 128 * UNIT}, (224, 420)),
        (32, (1080, 1920), {"max_pixels": 256 * UNIT}, (336, 588)),
        (32, (1080, 1920), {"max_pixels": 360 * 420}, (280, 504)),
        (32, (1080, 1920), {"max_pixels": 401_408}, (448, 840)),
        (768, (1080, 1920), {"total_pixels": BUDGET}, (224, 420)),  # twice what was asked for: no hard limit
        (768, (1080, 1920), {"total_pixels": BUDGET, "min_pixels": 16 * UNIT}, (168, 280)),
        (768, (1080, 1920), {"total_pixels": BUDGET, "min_pixels": 4 * UNIT}, (168, 280)),
        (32, (240, 320), {}, (280, 392)),  # enlarged
        (32, (240, 320), {"max_pixels": 128 * UNIT}, (280, 392)),
        (32, (480, 640), {"max_pixels": 256 * UNIT}, (364, 504)),
        (32, (1080, 1920), {"max_pixels": 100 * UNIT}, (196, 364)),  # the library fails: its least is 128
    ],
)
def test_sizes_of_frames(frames: int, side: tuple[int, int], bounds: dict[str, int], expected: tuple[int, int]) -> None:
    assert smart_resize(*side, 28, *frame_bounds(frames, 28, **bounds)) == expected


def test_tokens_of_a_1080p_clip() -> None:
    """Frame pairs times merged patches."""
    rows = [(32, {}, 11_520), (64, {}, 23_040), (300, {}, 108_000), (512, {}, 107_520), (768, {}, 105_984)]
    rows += [(768, {"total_pixels": BUDGET}, 46_080), (32, {"max_pixels": 256 * UNIT}, 4_032)]
    for frames, bounds, tokens in rows:
        height, width = smart_resize(1080, 1920, 28, *frame_bounds(frames, 28, **bounds))
        assert frames // 2 * (height // 28) * (width // 28) == tokens


def test_qwen3_counts_in_patches_of_32() -> None:
    assert frame_bounds(32, 32) == (131_072, 786_432)
    assert smart_resize(240, 320, 32, *frame_bounds(32, 32)) == (320, 448)


def test_a_checkpoint_for_small_pictures_keeps_its_own_bounds() -> None:
    assert frame_bounds(8, 28, own=(3136, 12_544)) == (3136, 12_544)
    assert frame_bounds(8, 28, own=(3136, 12_845_056)) == (128 * UNIT, 768 * UNIT)
    assert frame_bounds(8, 28, max_pixels=401_408, own=(3136, 12_544)) == (128 * UNIT, 401_408)


def test_sides_never_vanish() -> None:
    assert smart_resize(28, 5000, 28, 4 * UNIT, 50 * UNIT) == (28, 2632)
    assert smart_resize(5, 5, 28, 4 * UNIT, 16 * UNIT) == (56, 56)


def test_impossible_bounds_and_shapes_are_told() -> None:
    with pytest.raises(UserError, match="min_pixels 501760 exceeds max_pixels 78400"):
        frame_bounds(8, 28, min_pixels=640 * UNIT, max_pixels=100 * UNIT)
    with pytest.raises(UserError, match="min_pixels 10 exceeds max_pixels 5"):
        smart_resize(56, 56, 28, 10, 5)
    with pytest.raises(UserError, match="ratio above 200"):
        smart_resize(10, 2001, 28, 4 * UNIT, 16 * UNIT)


@pytest.mark.parametrize(
    ("side", "bounds", "expected", "values", "total"),
    [  # made by qwen-vl-utils' fetch_video, which rounds once: sizes, five pixels, the sum of all
        ((240, 320), {}, (280, 392), [0, 133, 10, 203, 223], 83_992_976),
        ((90, 160), {"max_pixels": 128 * UNIT}, (252, 448), [0, 68, 215, 211, 222], 86_369_360),
        ((360, 640), {"max_pixels": 256 * UNIT}, (336, 588), [1, 170, 30, 160, 97], 151_196_704),
        ((61, 83), {"min_pixels": 4 * UNIT, "max_pixels": 100 * UNIT}, (56, 84), [0, 160, 215, 117, 87], 3_601_227),
    ],
)
def test_pixels_of_frames(
    side: tuple[int, int], bounds: dict[str, int], expected: tuple[int, int], values: list[int], total: int
) -> None:
    size = smart_resize(*side, 28, *frame_bounds(2, 28, **bounds))
    assert size == expected
    made = resize_frames(pattern(2, *side), *size)
    places = ((0, 0, 0, 0), (0, 1, 5, 7), (1, 2, -1, -1), (1, 0, 20, 31), (0, 2, 50, 9))
    assert [int(made[place]) for place in places] == pytest.approx(values, abs=1)
    assert int(made.double().sum()) == pytest.approx(total, rel=1e-4)


def test_a_frame_alone_is_resized_as_in_a_clip() -> None:
    frames = pattern(3, 61, 83)
    together = resize_frames(frames, 56, 84)
    assert torch.equal(together, torch.stack([resize_frames(frame, 56, 84) for frame in frames]))
    assert torch.equal(resize_frames(frames, 61, 83), frames)


def test_a_frame_is_resized_as_pillow_resizes_a_picture() -> None:
    """So that a frame shown as a picture of its own looks like a picture of the same content."""
    frame = pattern(1, 123, 311)[0]
    picture = Image.fromarray(frame.permute(1, 2, 0).numpy()).resize((168, 84), Image.Resampling.BICUBIC)
    theirs = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert (resize_frames(frame, 84, 168).int() - theirs.int()).abs().max() <= 2


def slowly(frames: torch.Tensor, patch: int, merge: int) -> torch.Tensor:
    """Patches one by one: time, then blocks of merged patches row by row, then patches inside a block."""
    if len(frames) % 2:
        frames = torch.cat([frames, frames[-1:]])
    count, _, height, width = frames.shape
    out = []
    for t in range(0, count, 2):
        for top in range(0, height, patch * merge):
            for left in range(0, width, patch * merge):
                for y in range(top, top + patch * merge, patch):
                    for x in range(left, left + patch * merge, patch):
                        cut = frames[t : t + 2, :, y : y + patch, x : x + patch]
                        out.append(cut.transpose(0, 1).reshape(-1))  # colour, time, rows, columns
    return torch.stack(out)


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_patches_stand_as_their_order_says(frames: int) -> None:
    clip = torch.randn(frames, 3, 56, 84, generator=torch.Generator().manual_seed(frames))
    patches, grid = patchify(clip, 14, 2, 2)
    assert grid == ((frames + 1) // 2, 4, 6)
    assert torch.equal(patches, slowly(clip, 14, 2))


@pytest.mark.parametrize(
    ("factor", "mean", "std", "values", "total"),
    [  # pixel_values_videos of Qwen2VLVideoProcessor and Qwen3VLVideoProcessor for the pattern, three frames
        (28, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711),
         [-1.792263, 1.054431, -1.748467, 0.123874, 1.065172], 53_425.856),
        (32, (0.5,) * 3, (0.5,) * 3, [-1.0, 0.733333, -0.670588, 0.286275, -0.937255], 37_019.42),
    ],
)  # fmt: skip
def test_patches_of_transformers(
    factor: int, mean: tuple[float, ...], std: tuple[float, ...], values: list[float], total: float
) -> None:
    scaled = (torch.tensor(mean) * 255)[:, None, None], (torch.tensor(std) * 255)[:, None, None]
    frames = (pattern(3, 2 * factor, 3 * factor).float() - scaled[0]) / scaled[1]
    patches, grid = patchify(frames, factor // 2, 2, 2)
    assert grid == (2, 4, 6)
    places = ((0, 0), (1, 1), (7, 200), (30, 700), (47, -1))
    assert [float(patches[place]) for place in places] == pytest.approx(values, abs=1e-6)
    assert float(patches.double().abs().sum()) == pytest.approx(total, abs=0.01)
