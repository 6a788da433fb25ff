"""From a reference to a clip to its frames: the reader, the rule and the window that the reference names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmreason.errors import UserError, require
from mmreason.media import guard
from mmreason.media.choosing import Chosen, choose
from mmreason.media.clip import ClipInfo, Reader, T
from mmreason.media.files import unchanged
from mmreason.media.folder import FrameFolder
from mmreason.media.frame_rules import DEFAULT, FrameRule
from mmreason.media.store import MediaStore, entry_key
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
        return self.read(self.chosen.indices, take)

    def read(self, indices: Sequence[int], take: Callable[[np.ndarray], T]) -> list[T]:
        """As `frames`, of any frames of the clip. Raises UserError for an index outside it."""
        return self.reader.read_frames(self.path, indices, take)

    def step_seconds(self, step: int = 2) -> tuple[float, ...]:
        """Middle of each `step` chosen frames in seconds of the clip, the last frame repeated to fill the last one."""
        indices = [*self.chosen.indices, *self.chosen.indices[-1:] * (-len(self.chosen.indices) % step)]
        at = self.info.seconds(indices)
        return tuple((at[first] + at[first + step - 1]) / 2 for first in range(0, len(at), step))


def open_clip(root: Path, ref: MediaRef, store: MediaStore | None = None) -> Clip:
    """Find the clip, its times and the frames that `ref` asks for; without a rule they are those of "fps:2".

    With a store, a file's times are found once and kept there. Files are read in a child process, see `guard`.
    Raises UserError naming the clip when it is missing, changed, no clip, damaged, or has no frame in the window.
    """
    path = unchanged(root, ref)
    if ref.fps and not path.is_dir():
        raise UserError(f"clip {ref.path!r} is a file, which carries its own times; fps {ref.fps:g} is for folders")
    reader = FrameFolder(ref.fps) if path.is_dir() else _file_reader()
    info = reader.probe(path) if store is None else _kept_info(store, reader, path, ref)
    try:
        rule = FrameRule.parse(ref.frame_rule or DEFAULT)
        chosen = choose(rule, info, ref.start, ref.end, once=bool(ref.caption))
    except UserError as error:
        raise UserError(f"clip {ref.path!r}: {error}") from None
    if chosen.note:
        _LOG.warning("clip %s: %s", ref.path, chosen.note)
    return Clip(path, reader, info, chosen)


def _kept_info(store: MediaStore, reader: Reader, path: Path, ref: MediaRef) -> ClipInfo:
    """The extension counts: the same bytes under a wrong one are refused."""
    key = entry_key("info", ref.sha256, path.suffix.lower(), ref.fps, reader.version())
    (held,) = store.all_of(ref.sha256, [key], lambda _: [reader.probe(path).to_array()])
    return ClipInfo.from_array(held)


def _file_reader() -> Reader:
    require("av", "video", "read clips")
    return guard
