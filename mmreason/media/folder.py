"""A clip that lies as single pictures in a folder, at a frame rate that its data set names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL

from mmreason.errors import UserError
from mmreason.media.clip import READ_SECONDS, ClipInfo, Deadline, T, check_indices
from mmreason.media.files import frame_files, open_frame


@dataclass(frozen=True, slots=True)
class FrameFolder:
    """A `clip.Reader` of folders."""

    fps: float

    def probe(self, path: Path) -> ClipInfo:
        """Frames at even times from 0; the size is that of the first frame."""
        if self.fps <= 0:
            raise UserError(f"the folder of frames {str(path)!r} needs fps, its frames a second; found {self.fps:g}")
        files = frame_files(path)
        width, height = open_frame(files[0]).size
        first = int(files[0].stem) if files[0].stem.isdecimal() else 1
        times = np.arange(len(files)) / self.fps
        return ClipInfo(len(files), self.fps, len(files) / self.fps, times, width, height, first)

    def read_frames(self, path: Path, indices: Sequence[int], take: Callable[[np.ndarray], T]) -> list[T]:
        """`take` of each wanted picture in the order asked; all must have the first one's size."""
        files, deadline = frame_files(path), Deadline(path, READ_SECONDS)
        check_indices(path, indices, len(files))
        size = open_frame(files[0]).size
        taken: dict[int, T] = {}
        for index in sorted(set(indices)):
            deadline.check()
            picture = open_frame(files[index])
            if picture.size != size:
                found = f"{files[index].name} has {picture.size}, {files[0].name} has {size}"
                raise UserError(f"the folder of frames {str(path)!r} mixes sizes: {found}; resize them to one")
            taken[index] = take(np.asarray(picture))
        return [taken[index] for index in indices]

    def version(self) -> str:
        """What decides the pixels of a frame beside the file."""
        return f"pillow {PIL.__version__}"
