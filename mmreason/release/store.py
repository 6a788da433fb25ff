"""A place that releases are published to and pulled from: a folder, an S3-compatible store, or a Hub repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmreason.errors import UserError
from mmreason.release.listing import Release, is_name, is_revision
from mmreason.run.progress import Tick

LATEST = "latest"
Content = Path | bytes
"""A file to publish: where it lies, or its bytes."""


class Unreachable(Exception):
    """The place could not be reached, or broke off: what was fetched so far stays good."""


@dataclass(frozen=True, slots=True)
class Found:
    """A release as a place holds it."""

    release: Release
    where: str
    """How the place itself calls it (a folder, a commit); handed back to `chunks`."""


class Store(Protocol):
    """What a place can do. Methods raise Unreachable when it does not answer, UserError when it refuses."""

    address: str
    """As a user writes it, without the revision."""
    default_name: str

    def find(self, ref: str | None) -> Found | None:
        """The release that `ref` names (a revision, a name given to one; None: the latest), if it is complete."""
        ...

    def chunks(self, where: str, path: str, start: int) -> Iterator[bytes]:
        """The bytes of one file from byte `start` on."""
        ...

    def put(self, files: Mapping[str, Content], release: Release, label: str | None, tick: Tick) -> None:
        """Write a release, then point `label` and the latest at it. Files that are there already are not sent again.

        `tick` gets the number of bytes written.
        """
        ...


def split_ref(text: str) -> tuple[str, str | None]:
    """'place@rev' as (place, rev); the @ of a folder's name is left alone. Raises UserError for a malformed rev."""
    place, at, ref = text.rpartition("@")
    if not at or "/" in ref or Path(text).is_dir():
        return text, None
    if not place or not is_name(ref):
        raise UserError(f"{text!r}: expected PLACE@REVISION, a revision being letters, digits, dot, dash, underscore")
    return place, ref


def check_label(label: str | None) -> None:
    """Raise UserError unless `label` can name a revision."""
    if label is None:
        return
    if not is_name(label) or is_revision(label) or label == LATEST:
        raise UserError(
            f"--revision {label!r}: a name such as v1 is expected (letters, digits, dot, dash, underscore), not "
            f"{LATEST!r} and not 16 hex digits, which are taken"
        )


def open_store(place: str) -> Store:
    """The place named 's3://bucket/prefix', 'hub:owner/name', or a folder path. Nothing is contacted yet."""
    if place.startswith("s3://"):
        from mmreason.release.store_s3 import S3Store

        return S3Store(place)
    if place.startswith("hub:"):
        from mmreason.release.store_hub import HubStore

        return HubStore(place)
    if "://" in place:
        raise UserError(f"{place!r}: expected a folder, s3://bucket/prefix or hub:owner/name")
    from mmreason.release.store_folder import FolderStore

    return FolderStore(Path(place))
