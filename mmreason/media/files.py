"""From a path in a data row to a checked file, and from a checked file to a picture.

A string that names a file is not leave to read it: paths stay inside the data root, sizes are limited before
anything is decoded, and what was hashed when the sample was built is what is decoded later.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmreason.errors import UserError
from mmreason.records import MediaRef
from mmreason.run.files import file_sha256

MAX_IMAGE_BYTES = 64 << 20
MAX_VIDEO_BYTES = 4 << 30
MAX_PIXELS = 64_000_000
"""Width times height, read from the header before any pixel is decoded."""

IMAGE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
_KNOWN = sorted(set(IMAGE_FORMATS.values()))
VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif")

MAX_RATIO = 200
"""Longer side over the shorter one up to which a picture or frame can be shown."""
_CONVERT = "convert it to PNG (8 or 16 bit) with the window that a reader of the picture would choose"
_VOLUMES = {".dcm": "DICOM", ".dicom": "DICOM", ".nii": "NIfTI", ".nrrd": "NRRD", ".mha": "MetaImage"}

UNPACKED = "@unpacked/"
"""How paths begin that lie under `unpacked_root` and not under the data folder, which may be read-only."""


class MediaFault(UserError):
    """A file that is there and cannot be shown. A reader drops its rows and counts them by `reason`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """Short and countable: "damaged", "dicom", "too_large", ..."""


def unpacked_root() -> Path:
    """Where pictures lie that a reader took out of a released file: `unpacked` under MMREASON_CACHE."""
    from mmreason.release.cache import cache_root  # late: it loads the settings of releases

    return cache_root() / "unpacked"


def place_of(root: Path, relative: str) -> Path:
    """Where a media path leads, whether anything is there or not. Raises UserError if it leaves its folder."""
    unpacked = relative.startswith(UNPACKED)
    root = (unpacked_root() if unpacked else root).resolve()
    path = (root / relative.removeprefix(UNPACKED)).resolve()
    if Path(relative).is_absolute() or not path.is_relative_to(root):
        raise UserError(f"media path {relative!r} leaves the data folder {root}; use a path inside it")
    return path


def locate(root: Path, relative: str, folder: bool = False) -> Path:
    """The existing file at `relative` under `root`, or with `folder` perhaps a folder, links resolved.

    Raises UserError if it lies outside.
    """
    path = place_of(root, relative)
    if not path.exists() and relative.startswith(UNPACKED):
        raise UserError(f"{path}, unpacked from a data file, is gone; build the data again, which unpacks it")
    if not path.is_file() and not (folder and path.is_dir()):
        raise UserError(f"media file {relative!r} is missing under {root.resolve()}")
    return path


def _check_size(path: Path, relative: str, limit: int) -> None:
    size = path.stat().st_size
    if size == 0:
        raise MediaFault("empty_file", f"media file {relative!r} is empty")
    if size > limit:
        told = f"media file {relative!r} has {size >> 20} MiB, at most {limit >> 20} MiB are read; shrink it"
        raise MediaFault("too_large", told)


def _check_pixels(width: int, height: int, relative: str) -> None:
    if width * height > MAX_PIXELS:
        told = f"media file {relative!r} is {width} x {height} pixels, at most {MAX_PIXELS} are decoded"
        raise MediaFault("too_large", told)
    if max(width, height) > MAX_RATIO * min(width, height):
        told = f"media file {relative!r} is {width} x {height} pixels, sides in a ratio above {MAX_RATIO}; crop it"
        raise MediaFault("ratio", told)


@contextmanager
def _told(relative: str) -> Iterator[None]:
    """Turn what Pillow raises on foreign, huge and damaged files into one line."""
    try:
        yield
    except MediaFault:
        raise
    except Image.DecompressionBombError:
        told = f"media file {relative!r} has too many pixels, at most {MAX_PIXELS} are decoded"
        raise MediaFault("too_large", told) from None
    except UnidentifiedImageError:
        told = f"media file {relative!r} is not a picture ({', '.join(_KNOWN)}); fetch it again or convert it"
        raise MediaFault("not_a_picture", told) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaFault("damaged", f"media file {relative!r} is damaged ({error}); fetch it again") from None


def _check_volume(head: bytes, relative: str) -> None:
    """Formats of scanners by name or by DICOM's mark: their grey values need a window, which is a choice to be made."""
    suffixes = [one.lower() for one in Path(relative).suffixes]
    found = next((_VOLUMES[one] for one in suffixes if one in _VOLUMES), "DICOM" if head[128:132] == b"DICM" else "")
    if found:
        raise MediaFault(found.lower(), f"media file {relative!r} is {found}, which is not read; {_CONVERT}")


def _check(data: bytes, relative: str) -> None:
    """Format, size and checksums. Only PNG carries checksums: a cut file of another format shows when decoded.

    The content decides what a picture is: released sets hold JPEG files whose names end in .png.
    """
    with _told(relative), Image.open(io.BytesIO(data), formats=_KNOWN) as image:
        found, (width, height) = image.format, image.size
        _check_pixels(width, height, relative)
        image.verify()
    if found != "PNG":
        _decode(data, relative)


def _decode(data: bytes, relative: str) -> Image.Image:
    with _told(relative):
        picture = Image.open(io.BytesIO(data), formats=_KNOWN)
        _check_pixels(*picture.size, relative)
        picture.load()
    return picture


def media_ref(root: Path, relative: str, kind: str = "image", fps: float = 0.0) -> MediaRef:
    """Check one media file and describe it by its hash, which is what `open_image` will insist on.

    A clip may be a folder of frames, which needs `fps`, its frames a second. Raises UserError naming the file when it
    is missing, outside `root`, too large, of another format or damaged; clips are not decoded here.
    """
    path, suffix = locate(root, relative, folder=kind == "video"), Path(relative).suffix.lower()
    if path.is_dir():
        if fps <= 0:
            raise UserError(f"the folder of frames {relative!r} needs fps, its frames a second, above 0; found {fps:g}")
        _check_links(root, path)
        return MediaRef(_hash(path), kind, relative, tokens=0, fps=fps)
    if fps:
        raise UserError(f"media file {relative!r} carries its own times; fps is for folders of frames, found {fps:g}")
    if kind == "image":
        with path.open("rb") as file:
            _check_volume(file.read(132), relative)
    known = {"image": tuple(IMAGE_FORMATS), "video": VIDEO_SUFFIXES}[kind]
    if suffix not in known:
        told = f"media file {relative!r} has the extension {suffix!r}, an {kind} has one of {', '.join(known)}"
        raise MediaFault("format", f"{told}; convert it")
    if kind == "video":
        _check_size(path, relative, MAX_VIDEO_BYTES)
        return MediaRef(_hash(path), kind, relative, tokens=0)
    _check_size(path, relative, MAX_IMAGE_BYTES)
    data = path.read_bytes()
    _check(data, relative)
    return MediaRef(hashlib.sha256(data).hexdigest(), kind, relative, tokens=0)


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder of frames in order: by number where names are numbers, else by name.

    Raises UserError for other files, for none, and for a gap in the numbers.
    """
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    other = [path.name for path in files if path.suffix.lower() not in IMAGE_FORMATS]
    if other or not files:
        held = f"{min(other)!r} beside frames" if other else "no frame"
        raise UserError(f"the folder of frames {str(folder)!r} holds {held}; leave only {', '.join(IMAGE_FORMATS)}")
    if not all(path.stem.isdecimal() for path in files):
        return sorted(files)
    files.sort(key=lambda path: int(path.stem))
    numbers = [int(path.stem) for path in files]
    gaps = [number + 1 for number, after in itertools.pairwise(numbers) if after != number + 1]
    if gaps:
        raise UserError(f"the folder of frames {str(folder)!r} has no single frame {gaps[0]}; fetch it again")
    return files


def _check_links(root: Path, path: Path) -> None:
    """Raises UserError where a link in a folder of frames leads out of the root."""
    for frame in frame_files(path) if path.is_dir() else ():
        locate(root, str(frame.relative_to(root.resolve())))


def unchanged(root: Path, ref: MediaRef) -> Path:
    """Where the file or folder lies. Raises UserError when its hash is no longer the one in `ref`."""
    path = locate(root, ref.path, folder=ref.kind == "video")
    _check_links(root, path)
    if _hash(path) != ref.sha256:
        raise UserError(f"media file {ref.path!r} has changed since the samples were built; build the data again")
    return path


def _hash(path: Path) -> str:
    """Of a file's bytes, or of the names and bytes of a folder's frames; read again only after a change."""
    if path.is_file():
        return _file_hash(path, path.stat().st_size, path.stat().st_mtime_ns)
    lines = [f"{frame.name}\0{_hash(frame)}\n" for frame in frame_files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@functools.lru_cache(maxsize=100_000)
def _file_hash(path: Path, size: int, changed: int) -> str:
    return file_sha256(path)


def open_image(root: Path, ref: MediaRef) -> Image.Image:
    """The picture in RGB, turned upright by its EXIF tag, transparent parts on white.

    Raises UserError when the file's hash is no longer the one in `ref`.
    """
    path = locate(root, ref.path)
    _check_size(path, ref.path, MAX_IMAGE_BYTES)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise UserError(f"media file {ref.path!r} has changed since the samples were built; build the data again")
    return _upright(_decode(data, ref.path))


def open_frame(path: Path) -> Image.Image:
    """One picture of a folder of frames, as `open_image` gives it."""
    _check_size(path, str(path), MAX_IMAGE_BYTES)
    return _upright(_decode(path.read_bytes(), str(path)))


def _upright(picture: Image.Image) -> Image.Image:
    picture = _eight_bits(ImageOps.exif_transpose(picture))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, stretched from its own darkest to its own brightest value: scanners use 10 to 16 bits
    of a wider range, and cutting at 255 leaves white. Others as they are."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(np.round((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8))
