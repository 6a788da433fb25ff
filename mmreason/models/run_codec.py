"""The codec of a stage of a run: every stage, process and run of a user finds decoded frames in one store."""

from __future__ import annotations

from pathlib import Path

from mmreason.media.store import MediaStore
from mmreason.models.codec import Codec
from mmreason.run import processes


def load_run_codec(path: str | Path, media_root: Path | None) -> Codec:
    """`Codec.load` with the shared store, whose folder is made when a first clip is opened."""
    return Codec.load(path, media_root, MediaStore())


def media_counts(codec: Codec) -> dict[str, float]:
    """Metrics of media, over all processes, since each loaded its codec: after a restart they begin at 0.

    Empty for a model that reads text only.
    """
    return {f"media/{name}": int(processes.total(value)) for name, value in codec.media_counts().items()}
