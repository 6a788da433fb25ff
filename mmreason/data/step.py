"""The contract of a data step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mmreason.config import Domain, Recipe, SourceEntry
from mmreason.media.files import MediaFault, media_ref, place_of
from mmreason.records import MediaRef, Sample


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that left the stream, and why. Kept on disk and counted by (step, reason)."""

    id: str
    step: str
    reason: str
    """Short and countable: "too_short", "duplicate", "teacher_failed"."""
    detail: str = ""
    row: dict[str, Any] | None = None
    """The sample (`to_dict`) or the raw row."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a step may know."""

    recipe: Recipe
    domain: Domain
    data_dir: Path | None
    """Folder given with --data; None for the embedded default."""
    work_dir: Path
    """The run's data folder: caches go here."""
    offline: bool = False


class Step(Protocol):
    """Takes a stream, gives a stream; a sample leaves as a Drop, never in silence."""

    def __call__(
        self, stream: Iterable[Sample | Drop], context: StepContext, **options: Any
    ) -> Iterator[Sample | Drop]: ...


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What a reader is asked for: one split of one declared source."""

    name: str
    """Key in sources.yaml."""
    split: str
    files: list[Path]
    """Existing files of this split; empty for a generated set."""
    entry: SourceEntry
    options: dict[str, Any]
    """From the data-set YAML (sizes, protocol choices)."""
    seed: int = 0
    root: Path | None = None
    """Folder that media paths are relative to; a generated set writes its pictures there."""
    need_media: bool = True
    """False: pictures and clips are named but not looked for."""
    missing: list[str] | None = None
    """Takes the names of absent media files; None: the first absent one is a UserError."""
    broken: dict[str, MediaFault] | None = None
    """Takes the media files that are there and cannot be shown; None: the first one is a UserError."""

    def attach(self, relative: str, kind: str = "image", **bounds: Any) -> MediaRef:
        """A picture or clip of this set, checked and hashed; `bounds` are further fields of MediaRef.

        The hash is empty where media are not needed, for an absent file where `missing` collects them, and for a
        broken one where `broken` does. Raises UserError for a path outside the data folder, and for those otherwise.
        """
        assert self.root is not None
        named = MediaRef("", kind, relative, tokens=0, **bounds)
        if not self.need_media:
            return named
        if self.missing is not None and not place_of(self.root, relative).exists():
            self.missing.append(relative)
            return named
        try:
            return replace(media_ref(self.root, relative, kind, bounds.get("fps", 0.0)), **bounds)
        except MediaFault as fault:
            if self.broken is None:
                raise
            self.broken[relative] = fault
            return named
