"""`mmreason publish` and `mmreason pull`: releases to a place and back."""

from __future__ import annotations

from pathlib import Path

from mmreason.release.names import pull_named
from mmreason.release.publish import publish
from mmreason.release.store import open_store


def publish_run(run: Path, dest: str, name: str | None, revision: str | None, licence: str | None) -> list[str]:
    """Publish a run; the lines to print."""
    release, written = publish(run, dest, name, revision, licence)
    address = open_store(dest).address
    if not written:
        return [f"{address} holds {release.name} {release.revision} already: nothing to publish"]
    lines = [f"published: {release.name} {release.revision}, {len(release.files)} files, {release.size / 1e6:.1f} MB"]
    return [*lines, f"pull it with: mmreason pull {address}@{revision or release.revision}"]


def pull_release(text: str) -> str:
    """Pull a release; the folder to print."""
    return str(pull_named(text))
