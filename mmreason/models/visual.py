"""Pictures and clips as a checkpoint's patches, each content decoded once while it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.errors import UserError
from mmreason.media.captions import captions
from mmreason.media.clips import Clip, open_clip
from mmreason.media.files import open_image, unchanged
from mmreason.media.kept import Kept
from mmreason.media.resize import MAX_RATIO, VERSION, frame_bounds, patchify, resize_frames, smart_resize
from mmreason.media.store import MediaStore, entry_key
from mmreason.models.medium import Medium
from mmreason.records import MediaRef

KEPT_BYTES = 1 << 30
"""Patches kept for questions on the same pictures and clips; 32 frames of 336 x 588 pixels are 76 MB."""
_CLIPS_BYTES = 1 << 26
"""Frame times kept for clips that are looked at again; an hour at 30 a second is 0.9 MB."""


class Visual:
    """From a reference to patches under one picture processor."""

    def __init__(
        self,
        images: Qwen2VLImageProcessorPil,
        root: Path | None,
        kept_bytes: int = KEPT_BYTES,
        store: MediaStore | None = None,
    ) -> None:
        self.images = images
        self.root = root
        self.store = store
        """Where frames of clips are kept at their final size, for other references, processes and runs."""
        self.merge = int(images.merge_size)
        self.factor = int(images.patch_size) * self.merge
        """Pixels a side that make one visual token."""
        self.decodes = 0
        """Files that were decoded; a clip counts once however many of its frames were wanted."""
        self.decoded_frames = 0
        """Frames of clips that were decoded; those that came out of the store are not among them."""
        self._kept: Kept[Medium] = Kept(kept_bytes)
        self._clips: Kept[Clip] = Kept(_CLIPS_BYTES)

    def shown(self, ref: MediaRef) -> list[tuple[str, Medium]]:
        """What stands in a prompt for a reference: a picture or clip, or each frame of a clip behind its caption.

        Raises UserError naming the file where it or a setting is wrong.
        """
        if not ref.caption or ref.kind == "image":
            return [("", self.medium(ref))]
        clip = self.clip(ref)
        try:
            before = captions(ref.caption, clip.info.seconds(clip.chosen.indices))
        except UserError as error:
            raise UserError(f"clip {ref.path!r}: {error}") from None
        return list(zip(before, self.frames(ref, clip.chosen.indices), strict=True))

    def medium(self, ref: MediaRef) -> Medium:
        """Patches of a picture or of a clip as one. Raises UserError naming the file where it or a setting is wrong."""
        _check_settings(ref)
        root = self._root(ref)
        unchanged(root, ref)  # the hash of what is kept must still be that of the file
        key = replace(ref, path="", tokens=0)
        medium = self._kept.get(key)
        if medium is None:
            medium = self._picture(root, ref) if ref.kind == "image" else self._video(self.clip(ref), ref)
            self._kept.put(key, medium, medium.pixels.nbytes)
        return medium

    def frames(self, ref: MediaRef, indices: Sequence[int]) -> list[Medium]:
        """Any frames of a clip as pictures of their own, in the order asked, at the size that `ref` gives its frames.

        Raises UserError naming the clip for an index outside it.
        """
        clip = self.clip(ref)
        size = self._frame_size(clip, ref)
        keys = [(ref.sha256, *size, index) for index in indices]
        found = {key: medium for key in keys if (medium := self._kept.get(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        planes = self._frames(clip, ref, size, [key[-1] for key in missing]) if missing else []
        for key, frame in zip(missing, planes, strict=True):
            found[key] = medium = Medium(*self._patched(frame[None]))
            self._kept.put(key, medium, medium.pixels.nbytes)
        return [found[key] for key in keys]

    def clip(self, ref: MediaRef) -> Clip:
        """The clip with its frame times and the frames that `ref` chooses, kept while it is unchanged."""
        _check_settings(ref)
        root = self._root(ref)
        unchanged(root, ref)
        clip = self._clips.get(ref)
        if clip is None:
            clip = open_clip(root, ref, self.store)
            self._clips.put(ref, clip, clip.info.times.nbytes)
        return clip

    def counts(self) -> dict[str, int]:
        """`decodes`, `decoded_frames` and the store's counts."""
        stored = asdict(self.store.counts) if self.store is not None else {}
        return {"decodes": self.decodes, "decoded_frames": self.decoded_frames, **stored}

    def num_tokens(self, ref: MediaRef) -> int:
        """Visual tokens of a picture or clip; of a clip only the header and one frame are read."""
        _check_settings(ref)
        if ref.kind == "image":
            return self.medium(ref).num_tokens(self.merge)
        clip = self.clip(ref)
        height, width = self._frame_size(clip, ref)
        count = len(clip.chosen.indices)
        steps = count if ref.caption else -(-count // self._step)
        return steps * height * width // self.factor**2

    def patches(self, picture: Image.Image, min_pixels: int = 0, max_pixels: int = 0) -> Medium:
        """Patches of a picture in memory; bounds of 0 are the processor's own."""
        least, most = min_pixels or self._own[0], max_pixels or self._own[1]
        least = least if min_pixels else min(least, most)
        most = most if max_pixels else max(least, most)
        if least > most:
            raise UserError(f"min_pixels {least} exceeds max_pixels {most}; lower one or raise the other")
        if max(picture.size) > MAX_RATIO * min(picture.size):
            raise UserError(f"{picture.size[0]} x {picture.size[1]} pixels: a ratio above {MAX_RATIO}; crop it")
        size = {"shortest_edge": least, "longest_edge": most}
        made = self.images(images=[picture], size=size, return_tensors="pt")
        frames, rows, columns = made["image_grid_thw"][0].tolist()
        return Medium(made["pixel_values"], (frames, rows, columns))

    @property
    def _own(self) -> tuple[int, int]:
        """Least and most pixels of a picture under the checkpoint's processor."""
        return int(self.images.size["shortest_edge"]), int(self.images.size["longest_edge"])

    @property
    def _step(self) -> int:
        """Frames that make one step of time."""
        return int(self.images.temporal_patch_size)

    def _root(self, ref: MediaRef) -> Path:
        if self.root is None:
            raise UserError(f"{ref.path}: no data folder to read it from; name one")
        return self.root

    def _picture(self, root: Path, ref: MediaRef) -> Medium:
        self.decodes += 1
        picture = open_image(root, ref)
        try:
            return self.patches(picture, ref.min_pixels, ref.max_pixels)
        except UserError as error:
            raise UserError(f"media file {ref.path!r}: {error}") from None

    def _video(self, clip: Clip, ref: MediaRef) -> Medium:
        frames = self._frames(clip, ref, self._frame_size(clip, ref), clip.chosen.indices)
        seconds = self._step / clip.chosen.sample_fps
        return Medium(*self._patched(np.stack(frames)), "video", seconds, stamps=clip.step_seconds(self._step))

    def _frames(self, clip: Clip, ref: MediaRef, size: tuple[int, int], indices: Sequence[int]) -> list[np.ndarray]:
        """Frames, uint8 [3, height, width]; of those in the store none is decoded."""

        def shrink(frame: np.ndarray) -> np.ndarray:
            """To its final size before the next is decoded, so that full frames never pile up."""
            planes = torch.tensor(frame).permute(2, 0, 1)
            return resize_frames(planes, *size).contiguous().numpy()

        def read(positions: Sequence[int]) -> list[np.ndarray]:
            wanted = [indices[position] for position in positions]
            self.decodes += 1
            self.decoded_frames += len(set(wanted))
            return clip.read(wanted, shrink)

        if self.store is None:
            return read(range(len(indices)))
        made_by = (ref.sha256, clip.reader.version(), torch.__version__, VERSION, *size)
        keys = [entry_key("frame", *made_by, index) for index in indices]
        return self.store.all_of(ref.sha256, keys, read)

    def _frame_size(self, clip: Clip, ref: MediaRef) -> tuple[int, int]:
        """Height and width. A frame that stands alone fills the step of time that two frames of a clip share."""
        count = len(clip.chosen.indices) * (self._step if ref.caption else 1)
        try:
            bounds = frame_bounds(count, self.factor, ref.min_pixels, ref.max_pixels, ref.total_pixels, own=self._own)
            return smart_resize(clip.info.height, clip.info.width, self.factor, *bounds)
        except UserError as error:
            raise UserError(f"clip {ref.path!r}: {error}") from None

    def _patched(self, frames: np.ndarray) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """uint8 [T, 3, height, width] to patches and grid."""
        normalised = self._normalised(torch.from_numpy(frames))
        return patchify(normalised, int(self.images.patch_size), self.merge, self._step)

    def _normalised(self, frames: torch.Tensor) -> torch.Tensor:
        """Mean and spread scaled up rather than frames scaled down, as the video processors of transformers do."""
        scale = 1.0 / self.images.rescale_factor
        mean = torch.tensor(self.images.image_mean) * scale
        std = torch.tensor(self.images.image_std) * scale
        return (frames.float() - mean[:, None, None]) / std[:, None, None]


def _check_settings(ref: MediaRef) -> None:
    """Raises UserError for a setting that would be ignored."""
    if ref.kind == "image":
        given = {name: getattr(ref, name) for name in ("frame_rule", "start", "end", "fps", "total_pixels", "caption")}
        unused = [name for name, value in given.items() if value not in ("", 0, None)]
        if unused:
            raise UserError(f"media file {ref.path!r} is a picture; {unused[0]} {given[unused[0]]!r} is for clips")
