"""The border where files become pictures: paths, sizes, formats, damage, change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmreason.media.files as files
from mmreason.errors import UserError
from mmreason.media.files import media_ref, open_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with red.png (8 x 6) and red.jpg."""
    folder = tmp_path / "root"
    folder.mkdir()
    for name in ("red.png", "red.jpg"):
        Image.new("RGB", (8, 6), (255, 0, 0)).save(folder / name)
    return folder


def test_a_picture_is_known_by_its_hash_and_opens_as_rgb(root: Path) -> None:
    ref = media_ref(root, "red.png")
    assert ref.sha256 == hashlib.sha256((root / "red.png").read_bytes()).hexdigest()
    assert (ref.kind, ref.path) == ("image", "red.png")
    picture = open_image(root, ref)
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (8, 6), (255, 0, 0))


def test_transparent_parts_become_white(root: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(root / "clear.png")
    assert open_image(root, media_ref(root, "clear.png")).getpixel((1, 1)) == (255, 255, 255)


def test_exif_rotation_is_applied(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, to be turned by 90 degrees
    Image.new("RGB", (8, 6)).save(root / "lying.jpg", exif=exif)
    assert open_image(root, media_ref(root, "lying.jpg")).size == (6, 8)


def test_a_changed_file_is_refused(root: Path) -> None:
    ref = media_ref(root, "red.png")
    Image.new("RGB", (8, 6), "blue").save(root / "red.png")
    with pytest.raises(UserError, match=r"'red\.png' has changed since the samples were built"):
        open_image(root, ref)


def test_paths_stay_in_the_root(root: Path) -> None:
    secret = root.parent / "secret.png"
    Image.new("RGB", (2, 2)).save(secret)
    (root / "link.png").symlink_to(secret)
    for name in ("../secret.png", str(secret), "link.png"):
        with pytest.raises(UserError, match="leaves the data folder"):
            media_ref(root, name)
    with pytest.raises(UserError, match="is missing under"):
        media_ref(root, "none.png")
    with pytest.raises(UserError, match="is missing under"):
        media_ref(root, ".")


def test_a_link_inside_the_root_is_followed(root: Path) -> None:
    (root / "same.png").symlink_to(root / "red.png")
    assert media_ref(root, "same.png").sha256 == media_ref(root, "red.png").sha256


def test_the_content_of_a_picture_decides_and_foreign_files_are_refused(root: Path) -> None:
    (root / "really_jpeg.png").write_bytes((root / "red.jpg").read_bytes())
    (root / "page.png").write_text("<html>not found</html>")
    (root / "red.svg").write_text("<svg/>")
    really = media_ref(root, "really_jpeg.png")
    assert open_image(root, really).getpixel((0, 0)) == open_image(root, media_ref(root, "red.jpg")).getpixel((0, 0))
    with pytest.raises(UserError, match=r"'page\.png' is not a picture \(BMP, JPEG, PNG, WEBP\)"):
        media_ref(root, "page.png")
    with pytest.raises(UserError, match=r"extension '\.svg'"):
        media_ref(root, "red.svg")


@pytest.mark.parametrize("name", ["red.png", "red.jpg"])
def test_cut_files_are_refused(root: Path, name: str) -> None:
    Image.effect_noise((64, 64), 50).convert("RGB").save(root / name)
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UserError, match="is damaged"):
        media_ref(root, name)


def test_a_flipped_byte_is_refused(root: Path) -> None:
    Image.effect_noise((64, 64), 50).save(root / "noise.png")
    data = bytearray((root / "noise.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (root / "noise.png").write_bytes(bytes(data))
    with pytest.raises(UserError, match="is damaged"):
        media_ref(root, "noise.png")


def test_sizes_are_limited_before_decoding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "empty.png").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        media_ref(root, "empty.png")
    monkeypatch.setattr(files, "MAX_PIXELS", 40)
    with pytest.raises(UserError, match=r"'red\.png' is 8 x 6 pixels, at most 40"):
        media_ref(root, "red.png")
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 10)
    with pytest.raises(UserError, match="shrink it"):
        media_ref(root, "red.jpg")


def test_a_video_is_hashed_without_decoding(root: Path) -> None:
    (root / "clip.mp4").write_bytes(b"not decoded here")
    assert media_ref(root, "clip.mp4", "video").sha256 == hashlib.sha256(b"not decoded here").hexdigest()
    with pytest.raises(UserError, match="extension"):
        media_ref(root, "red.png", "video")


def test_grey_of_more_than_8_bits_is_stretched_over_its_own_range(tmp_path: Path) -> None:
    for name, values in (("full", np.arange(0, 65536, 256)), ("twelve", 1000 + np.arange(0, 3072, 12))):
        ramp = np.tile(values.astype(np.uint16), (28, 1))
        Image.fromarray(ramp).save(tmp_path / f"{name}.png")
        seen = np.asarray(files.open_frame(tmp_path / f"{name}.png"))
        assert seen.shape == (28, 256, 3) and (seen[0, :, 0] == np.arange(256)).all()
    Image.fromarray(np.full((28, 28), 40000, np.uint16)).save(tmp_path / "flat.png")
    assert not np.asarray(files.open_frame(tmp_path / "flat.png")).any()
