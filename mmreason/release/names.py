"""From what a user calls a model to its folder: a path, the name of a shipped or pulled release, a place."""

from __future__ import annotations

import re
from pathlib import Path

from mmreason.errors import UserError, nearest
from mmreason.project import project_dir
from mmreason.release import cache, pull
from mmreason.release.listing import Release
from mmreason.release.shelf import pointer_path
from mmreason.release.store import LATEST, open_store, split_ref

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def shipped_dir() -> Path:
    """Folder of the releases that travel with the package, one folder a name."""
    return project_dir() / "model_cards"


def shipped() -> dict[str, Release]:
    """Name -> latest release that travels with the package."""
    folders = [path for path in sorted(shipped_dir().iterdir()) if (path / pointer_path(LATEST)).is_file()]
    found = {path.name: open_store(str(path)).find(None) for path in folders}
    return {name: one.release for name, one in found.items() if one is not None}


def is_place(text: str) -> bool:
    """Whether `text` says where a release lies: a scheme, or a folder that was published to."""
    return text.startswith("hub:") or "://" in text or (Path(text) / pointer_path(LATEST)).is_file()


def pull_named(text: str) -> Path:
    """Folder of 'NAME[@rev]', 's3://bucket/prefix[@rev]', 'hub:owner/name[@rev]' or 'FOLDER[@rev]', checked.

    Raises UserError with the nearest name when there is no such release.
    """
    where, ref = split_ref(text)
    if is_place(where):
        return pull.pull(where, ref)
    if where in shipped():
        return pull.pull(str(shipped_dir() / where), ref)
    if "/" in where:
        raise UserError(f"{where} is neither a checkpoint folder nor one that was published to")
    return _kept(where, ref)


def _kept(name: str, ref: str | None) -> Path:
    """A release that is in the cache from an earlier pull, by its name alone."""
    pairs = cache.kept(name)
    if not pairs:
        known = sorted({*shipped(), *cache.names()})
        raise UserError(f"no released model is called {name!r}{nearest(name, known)}; pull it by its address")
    wanted = [pair for pair in pairs if ref in (None, pair[1].revision)]
    if not wanted:
        have = ", ".join(release.revision for _, release in pairs)
        raise UserError(f"{name} is here with revision {have}, not {ref}; pull it by its address")
    folder, release = wanted[0]
    if bad := pull.damaged(folder, release):
        raise UserError(f"the cached {folder / bad[0].path} is damaged: pull {name} again by its address")
    return folder


def resolve_model(text: str) -> Path:
    """The checkpoint folder that `text` names.

    A folder is itself, one that was published to its latest release; the name of a shipped or pulled release is its
    folder in the cache. 'owner/name' of no folder here is left as it is for transformers, which asks the Hub for it.
    Raises UserError with the nearest name for anything else.
    """
    if is_place(split_ref(text)[0]):
        return pull_named(text)
    if Path(text).is_dir() or _HUB_ID.fullmatch(text):
        return Path(text)
    return pull_named(text)


def lines() -> list[str]:
    """Shipped and pulled releases, one line each."""
    found = [
        f"{name}  {release.revision}  released, with the package, {release.size / 1e6:.1f} MB"
        for name, release in shipped().items()
    ]
    for name in cache.names():
        found += [f"{name}  {release.revision}  pulled, {folder}" for folder, release in cache.kept(name)]
    return found
