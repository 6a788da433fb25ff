"""Pictures as hospitals export them: what is shown to a model, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.files import media_ref, open_image
from mmreason.media.resize import smart_resize

ROTATED = 6
"""EXIF orientation: turn a quarter clockwise to see it upright."""


def shown(root: Path, name: str) -> np.ndarray:
    return np.asarray(open_image(root, media_ref(root, name)))


def test_cmyk_is_shown_in_its_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (28, 28), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert shown(tmp_path, "a.jpg")[14, 14].tolist() == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize(("mode", "value"), [("LA", (100, 0)), ("RGBA", (100, 0, 0, 0))])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str, value: tuple[int, ...]) -> None:
    Image.new(mode, (28, 28), value).save(tmp_path / "a.png")
    assert shown(tmp_path, "a.png").min() == 255


def test_a_turned_radiograph_stands_upright(tmp_path: Path) -> None:
    """Left half white as stored; seen upright the upper half is."""
    picture, exif = Image.new("L", (56, 28)), Image.Exif()
    picture.paste(255, (0, 0, 28, 28))
    exif[0x0112] = ROTATED
    picture.save(tmp_path / "a.jpg", exif=exif)
    upright = shown(tmp_path, "a.jpg")
    assert upright.shape == (56, 28, 3) and upright[10].mean() > 250 and upright[-10].mean() < 5


def test_one_bit_and_palette_pictures(tmp_path: Path) -> None:
    Image.new("1", (28, 28), 1).save(tmp_path / "a.png")
    coloured = Image.new("P", (28, 28), 1)
    coloured.putpalette([0, 0, 0, 10, 20, 30])
    coloured.save(tmp_path / "b.png")
    assert shown(tmp_path, "a.png").min() == 255 and shown(tmp_path, "b.png")[0, 0].tolist() == [10, 20, 30]


def test_a_tiny_picture_is_enlarged_and_a_thread_refused(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 9).save(tmp_path / "a.png")
    assert shown(tmp_path, "a.png").shape == (1, 1, 3)
    assert smart_resize(1, 1, 28, 3136, 1_003_520) == (56, 56)
    with pytest.raises(UserError, match="300 x 1 pixels: sides in a ratio above 200"):
        smart_resize(1, 300, 28, 3136, 1_003_520)


def test_a_huge_picture_is_refused_before_decoding(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="9000 x 9000 pixels, at most 64000000"):
        media_ref(tmp_path, "a.png")


@pytest.mark.parametrize(
    ("name", "mark", "told"),
    [
        ("a.dcm", "", "is DICOM, which is not read; convert it to PNG"),
        ("a.png", "DICM", "is DICOM, which is not read; convert it to PNG"),
        ("a.nii.gz", "", "is NIfTI, which is not read"),
        ("a.png", "", "is not a picture"),
        ("a.tif", "", "'.tif'"),
    ],
)
def test_what_scanners_write_is_refused_in_one_line(tmp_path: Path, name: str, mark: str, told: str) -> None:
    (tmp_path / name).write_bytes(bytes(128) + mark.encode() + bytes(64))
    with pytest.raises(UserError, match=told) as caught:
        media_ref(tmp_path, name)
    assert "\n" not in str(caught.value) and name in str(caught.value)
