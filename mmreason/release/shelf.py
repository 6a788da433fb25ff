"""How releases lie in a folder or a bucket: one folder a revision, never rewritten, and small files that point at them.

<revision>/release.json     written last: a revision without it does not count
<revision>/...              its files
refs/latest.json            {"revision": ...}, moves
refs/<label>.json           {"revision": ...}, never moves
"""

from __future__ import annotations

import json
from collections.abc import Callable

from mmreason.errors import UserError
from mmreason.release.listing import FILE, is_revision, read_listing
from mmreason.release.store import LATEST, Found

Read = Callable[[str], bytes | None]
"""Path inside the place -> content, None when there is none."""


def pointer_path(label: str) -> str:
    """Where the pointer of a label lies."""
    return f"refs/{label}.json"


def pointer_bytes(revision: str) -> bytes:
    """Content of a pointer."""
    return (json.dumps({"revision": revision}) + "\n").encode()


def follow(read: Read, ref: str, address: str) -> str | None:
    """The revision that `ref` names, whether or not it is complete."""
    if is_revision(ref):
        return ref
    data = read(pointer_path(ref))
    if data is None:
        return None
    try:
        revision = json.loads(data)["revision"]
    except (ValueError, KeyError, TypeError):
        revision = None
    if not isinstance(revision, str) or not is_revision(revision):
        raise UserError(f"{address}: {pointer_path(ref)} names no revision; publish it again")
    return revision


def find(read: Read, ref: str | None, address: str) -> Found | None:
    """The complete release that `ref` names. Raises UserError when its listing is of another revision."""
    revision = follow(read, ref or LATEST, address)
    data = read(f"{revision}/{FILE}") if revision else None
    if revision is None or data is None:
        return None
    release = read_listing(data, f"{address}@{revision}")
    if release.revision != revision:
        raise UserError(f"{address}: the folder {revision} holds revision {release.revision}; publish it again")
    return Found(release, revision)


def pointers(release_revision: str, label: str | None) -> list[tuple[str, bytes]]:
    """The pointers to write after a release, the moving one last."""
    return [(pointer_path(name), pointer_bytes(release_revision)) for name in (label, LATEST) if name]
