"""From a path in a data row to a checked file, and from a checked file to a picture.

A string that names a file is not leave to read it: paths stay inside the data root, sizes are limited before
anything is decoded, and what was hashed when the sample was built is what is decoded later.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from mmreason.errors import UserError
from mmreason.records import MediaRef
from mmreason.run.files import file_sha256

MAX_IMAGE_BYTES = 64 << 20
MAX_VIDEO_BYTES = 4 << 30
MAX_PIXELS = 64_000_000
"""Width times height, read from the header before any pixel is decoded."""

IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif")


def locate(root: Path, relative: str) -> Path:
    """The existing file at `relative` under `root`, links resolved. Raises UserError if it lies outside."""
    root = root.resolve()
    path = (root / relative).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root):
        raise UserError(f"media path {relative!r} leaves the data folder {root}; use a path inside it")
    if not path.is_file():
        raise UserError(f"media file {relative!r} is missing under {root}")
    return path


def _check_size(path: Path, relative: str, limit: int) -> None:
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"media file {relative!r} is empty")
    if size > limit:
        raise UserError(f"media file {relative!r} has {size >> 20} MiB, at most {limit >> 20} MiB are read; shrink it")


@contextmanager
def _told(relative: str, expected: str) -> Iterator[None]:
    """Turn what Pillow raises on foreign, huge and damaged files into one line."""
    try:
        yield
    except Image.DecompressionBombError:
        raise UserError(f"media file {relative!r} has too many pixels, at most {MAX_PIXELS} are decoded") from None
    except UnidentifiedImageError:
        raise UserError(
            f"media file {relative!r} is not a {expected} image; convert it or mend its extension"
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"media file {relative!r} is damaged ({error}); fetch it again") from None


def _check(data: bytes, relative: str) -> None:
    """Format, size and checksums. Only PNG carries checksums: a cut file of another format shows when decoded."""
    expected = IMAGE_FORMATS[Path(relative).suffix.lower()]
    with _told(relative, expected), Image.open(io.BytesIO(data), formats=sorted(set(IMAGE_FORMATS.values()))) as image:
        found, (width, height) = image.format, image.size
        if width * height > MAX_PIXELS:
            raise UserError(f"media file {relative!r} is {width} x {height} pixels, at most {MAX_PIXELS} are decoded")
        image.verify()
    if found != expected:
        raise UserError(f"media file {relative!r} holds {found}, its extension says {expected}; rename it")
    if expected != "PNG":
        _decode(data, relative)


def _decode(data: bytes, relative: str) -> Image.Image:
    expected = IMAGE_FORMATS[Path(relative).suffix.lower()]
    with _told(relative, expected):
        picture = Image.open(io.BytesIO(data), formats=[expected])
        picture.load()
    return picture


def media_ref(root: Path, relative: str, kind: str = "image") -> MediaRef:
    """Check one media file and describe it by its hash, which is what `open_image` will insist on.

    Raises UserError naming the file when it is missing, outside `root`, too large, of another format or damaged.
    """
    path, suffix = locate(root, relative), Path(relative).suffix.lower()
    known = {"image": tuple(IMAGE_FORMATS), "video": VIDEO_SUFFIXES}[kind]
    if suffix not in known:
        raise UserError(
            f"media file {relative!r} has the extension {suffix!r}, an {kind} has one of {', '.join(known)}"
        )
    if kind == "video":
        _check_size(path, relative, MAX_VIDEO_BYTES)
        return MediaRef(file_sha256(path), kind, relative, tokens=0)
    _check_size(path, relative, MAX_IMAGE_BYTES)
    data = path.read_bytes()
    _check(data, relative)
    return MediaRef(hashlib.sha256(data).hexdigest(), kind, relative, tokens=0)


def open_image(root: Path, ref: MediaRef) -> Image.Image:
    """The picture in RGB, turned upright by its EXIF tag, transparent parts on white.

    Raises UserError when the file's hash is no longer the one in `ref`.
    """
    path = locate(root, ref.path)
    _check_size(path, ref.path, MAX_IMAGE_BYTES)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise UserError(f"media file {ref.path!r} has changed since the samples were built; build the data again")
    picture = ImageOps.exif_transpose(_decode(data, ref.path))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
