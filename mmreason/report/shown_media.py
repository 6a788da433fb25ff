"""Pictures and clips inside a page: small, inline, and only if they are still what was asked about."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from mmreason.records import MediaRef

THUMBNAIL = (320, 240)
FRAMES = 6
"""Frames shown of a clip, at even distance among those that the model was given."""


def inline(image: Image.Image, alt: str) -> Markup:
    """A picture as an inline JPEG, small."""
    image = image.convert("RGB")
    image.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/jpeg;base64,{}">').format(alt, data)


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
