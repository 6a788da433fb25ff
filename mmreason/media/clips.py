"""From a reference to a clip to its frames: the reader, the rule and the window that the reference names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmreason.errors import UserError, require
from mmreason.media.clip import ClipInfo, Reader, T
from mmreason.media.files import unchanged
from mmreason.media.folder import FrameFolder
from mmreason.media.frame_rules import DEFAULT, Chosen, FrameRule, choose
from mmreason.records import MediaRef

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip whose frames are chosen but not yet decoded."""

    path: Path
    reader: Reader
    info: ClipInfo
    chosen: Chosen

    def frames(self, take: Callable[[np.ndarray], T]) -> list[T]:
        """`take` of each chosen frame, uint8 RGB [height, width, 3], in order; a repeated frame is decoded once."""
        return self.reader.read_frames(self.path, self.chosen.indices, take)

    def step_seconds(self, step: int = 2) -> tuple[float, ...]:
        """Middle of each `step` chosen frames in seconds of the clip, the last frame repeated to fill the last one."""
        indices = [*self.chosen.indices, *self.chosen.indices[-1:] * (-len(self.chosen.indices) % step)]
        at = self.info.seconds(indices)
        return tuple((at[first] + at[first + step - 1]) / 2 for first in range(0, len(at), step))


def open_clip(root: Path, ref: MediaRef) -> Clip:
    """Find the clip, its times and the frames that `ref` asks for; without a rule they are those of "fps:2".

    Raises UserError naming the clip when it is missing, changed, no clip, damaged, or has no frame in the window.
    """
    path = unchanged(root, ref)
    if ref.fps and not path.is_dir():
        raise UserError(f"clip {ref.path!r} is a file, which carries its own times; fps {ref.fps:g} is for folders")
    reader = FrameFolder(ref.fps) if path.is_dir() else _file_reader()
    info = reader.probe(path)
    try:
        chosen = choose(FrameRule.parse(ref.frame_rule or DEFAULT), info, ref.start, ref.end)
    except UserError as error:
        raise UserError(f"clip {ref.path!r}: {error}") from None
    if chosen.note:
        _LOG.warning("clip %s: %s", ref.path, chosen.note)
    return Clip(path, reader, info, chosen)


def _file_reader() -> Reader:
    """Imported late: pictures and folders of frames need no video library."""
    require("av", "video", "read clips")
    from mmreason.media import video

    return video
