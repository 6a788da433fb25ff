"""Contexts of other libraries' tasks as prompts: text with marks, and the pictures that stand at them."""

from __future__ import annotations

import hashlib
from typing import Any

from PIL import Image

from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.medium import Medium
from mmreason.models.tokenizer import IMAGE_PAD, VISION_END, VISION_START

IMAGE_MARK = "<image>"
"""What lm-eval's tasks write where a picture stands."""
KEPT = 8
"""Pictures whose patches are kept, as neighbours ask about the same one."""


def content_hash(picture: Image.Image) -> str:
    """SHA-256 of a decoded picture."""
    return hashlib.sha256(f"{picture.mode}{picture.size}".encode() + picture.tobytes()).hexdigest()


class Contexts:
    """Encodes contexts with one codec."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._kept: dict[str, Medium] = {}

    def encode(self, context: str, extra: dict[str, Any]) -> Encoded:
        """A context as lm-eval wrote it, its picture marks filled. Raises UserError where marks and pictures differ."""
        pictures = extra.get("visual", [])
        pieces = context.split(IMAGE_MARK)
        if len(pieces) != len(pictures) + 1:
            raise UserError(f"{len(pieces) - 1} marks {IMAGE_MARK} in the context, but {len(pictures)} pictures")
        media = tuple(self._patches(picture) for picture in pictures)
        marks = [f"{VISION_START}{IMAGE_PAD * medium.num_tokens(self.codec.merge)}{VISION_END}" for medium in media]
        text = pieces[0] + "".join(mark + piece for mark, piece in zip(marks, pieces[1:], strict=True))
        return Encoded(self.codec.tokenizer.encode(text, add_special_tokens=False), media)

    def _patches(self, picture: Image.Image) -> Medium:
        """The picture's patches, made once for questions in a row."""
        key = content_hash(picture)
        if key not in self._kept:
            self._kept[key] = self.codec.patches(picture.convert("RGB"))
            for oldest in list(self._kept)[:-KEPT]:
                del self._kept[oldest]
        return self._kept[key]
