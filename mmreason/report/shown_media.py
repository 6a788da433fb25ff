"""Pictures and clips inside a page: small, inline, and only if they are still what was asked about."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from PIL import Image

from mmreason.records import MediaRef

if TYPE_CHECKING:
    from mmreason.media.clips import Clip

THUMBNAIL = (320, 240)
FRAMES = 6
"""Frames shown of a clip, at even distance among those that the model was given."""
SHEET_FRAME = (176, 132)
"""Most pixels of a frame that stands among many."""
_ENLARGED = 4
"""How much wider than they are pictures stand whose four-fold size still fits a thumbnail."""
_COARSE = 96
"""Frames narrower than this are drawn with their pixels as squares, not blurred."""


def _jpeg(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def inline(image: Image.Image, alt: str) -> Markup:
    """A picture as an inline JPEG, small; a tiny one stands enlarged, its pixels as squares."""
    image = image.convert("RGB")
    image.thumbnail(THUMBNAIL)
    enlarged = Markup(' width="{}" style="image-rendering:pixelated"').format(_ENLARGED * image.width)
    size = enlarged if max(image.size) * _ENLARGED <= max(THUMBNAIL) else ""
    return Markup('<img alt="{}"{} src="{}">').format(alt, size, _jpeg(image, 80))


def thumbnails(root: Path, ref: MediaRef) -> list[Markup]:
    """A picture, or some frames of a clip with their times. Raises UserError when the file is gone or has changed."""
    if ref.kind == "image":
        from mmreason.media.files import open_image

        return [inline(open_image(root, ref), "picture of the question")]
    return _frames(root, ref)


def _frames(root: Path, ref: MediaRef) -> list[Markup]:
    from mmreason.media.clips import open_clip

    clip = open_clip(root, ref)
    count = len(clip.chosen.indices)
    places = sorted({round(place * (count - 1) / max(FRAMES - 1, 1)) for place in range(min(FRAMES, count))})
    indices = [clip.chosen.indices[place] for place in places]
    made = clip.reader.read_frames(
        clip.path, indices, lambda frame: inline(Image.fromarray(frame), "frame of the clip")
    )
    return [
        Markup("<figure>{}<figcaption>{:.1f} s</figcaption></figure>").format(frame, second)
        for frame, second in zip(made, clip.info.seconds(indices), strict=True)
    ]


class FrameSheet:
    """Frames of clips in one page: each is decoded once and stands in the page's text once, however often it is shown.

    `frame` gives the place where a frame is seen and remembers it; `markup`, once all places are known, the frames.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root if root is not None and root.is_dir() else None
        """Where media paths begin; None shows no frame."""
        self._clips: dict[MediaRef, Clip] = {}
        self._wanted: dict[MediaRef, set[int]] = {}

    def clip(self, ref: MediaRef) -> Clip | None:
        """The opened clip, None without a root. Raises UserError when the file is gone or has changed."""
        if self.root is None or not ref.sha256:  # a score of given answers looked at no file
            return None
        if ref not in self._clips:
            from mmreason.media.clips import open_clip

            self._clips[ref] = open_clip(self.root, ref)
            self._wanted[ref] = set()
        return self._clips[ref]

    def frame(self, ref: MediaRef, index: int) -> Markup:
        """A frame of the clip by its index, as wide as its place; empty without a root."""
        clip = self.clip(ref)
        if clip is None:
            return Markup("")
        self._wanted[ref].add(index)
        width, height = _shrunk(clip.info.width, clip.info.height)
        size = Markup('viewBox="0 0 {} {}"').format(width, height)
        return Markup('<svg class="frame" {} role="img"><use href="#{}"/></svg>').format(size, self._name(ref, index))

    def pictures(self, ref: MediaRef) -> list[Markup]:
        """A picture, or some frames of a clip with their times, in full; nothing without a root."""
        return thumbnails(self.root, ref) if self.root is not None and ref.sha256 else []

    def markup(self) -> Markup:
        """The frames that were asked for, to stand anywhere in the page; empty without any. Decodes each clip once."""
        if not any(self._wanted.values()):
            return Markup("")
        made = [
            drawn for ref, indices in self._wanted.items() if indices for drawn in self._drawn(ref, sorted(indices))
        ]
        return Markup('<svg class="sheet" width="0" height="0" aria-hidden="true"><defs>{}</defs></svg>').format(
            Markup("").join(made)
        )

    def _drawn(self, ref: MediaRef, indices: list[int]) -> list[Markup]:
        clip = self._clips[ref]
        width, height = _shrunk(clip.info.width, clip.info.height)
        style = Markup(' style="image-rendering:pixelated"') if width < _COARSE else Markup("")

        def shrink(frame: np.ndarray) -> str:
            return _jpeg(Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS), 78)

        frames = clip.reader.read_frames(clip.path, indices, shrink)
        line = Markup('<image id="{}" width="{}" height="{}"{} href="{}"/>')
        return [
            line.format(self._name(ref, index), width, height, style, data)
            for index, data in zip(indices, frames, strict=True)
        ]

    def _name(self, ref: MediaRef, index: int) -> str:
        return f"clip{list(self._clips).index(ref)}-{index}"


def _shrunk(width: int, height: int) -> tuple[int, int]:
    """Size of a frame on the sheet; small ones stay as they are."""
    scale = min(1.0, SHEET_FRAME[0] / width, SHEET_FRAME[1] / height)
    return max(round(width * scale), 1), max(round(height * scale), 1)
