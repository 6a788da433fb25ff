"""What was pulled to this machine: models/<name>/<revision>/, release.json written last, and where it came from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.release.listing import FILE, Release, is_name, is_revision, read_kept
from mmreason.release.store import LATEST
from mmreason.run.files import write_json, write_text


def cache_root() -> Path:
    """MMREASON_CACHE, else ~/.cache/mmreason."""
    return Path(os.environ.get("MMREASON_CACHE") or Path.home() / ".cache" / "mmreason").expanduser().absolute()


def models_dir() -> Path:
    """Where pulled releases lie."""
    return cache_root() / "models"


def release_dir(name: str, revision: str) -> Path:
    """Folder of one release. Made here; raises UserError where it cannot be."""
    path = models_dir() / name / revision
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {path}: {error.strerror}; set MMREASON_CACHE to a folder of yours") from None
    return path


def complete(folder: Path, release: Release) -> None:
    """Write the listing into a folder whose files are all there: from now on it counts."""
    write_text(folder / FILE, release.text())


def kept(name: str) -> list[tuple[Path, Release]]:
    """Complete releases of one name, the newest first."""
    if not is_name(name) or not (models_dir() / name).is_dir():
        return []
    folders = [path for path in (models_dir() / name).iterdir() if is_revision(path.name) and path.is_dir()]
    found = [(path, release) for path in folders if (release := read_kept(path)) is not None]
    return sorted(found, key=lambda pair: (pair[0] / FILE).stat().st_mtime, reverse=True)


def names() -> list[str]:
    """Names with at least one complete release."""
    there = sorted(path.name for path in models_dir().iterdir()) if models_dir().is_dir() else []
    return [name for name in there if kept(name)]


def _all() -> Iterator[tuple[Path, Release]]:
    for name in names():
        yield from kept(name)


def _place_file(address: str) -> Path:
    return cache_root() / "places" / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}.json"


def _place(address: str) -> dict[str, Any]:
    file = _place_file(address)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def remember(address: str, ref: str | None, release: Release) -> None:
    """Keep which release a place gave for `ref` (None: its latest), for the day it cannot be asked."""
    refs = {**_place(address).get("refs", {}), ref or LATEST: release.revision}
    write_json(_place_file(address), {"address": address, "name": release.name, "refs": refs})


def recall(address: str, ref: str | None) -> tuple[Path, Release] | None:
    """The complete release that `ref` of a place is known to name: by its hash, or as the place last said."""
    place = _place(address)
    revision = ref if ref is not None and is_revision(ref) else place.get("refs", {}).get(ref or LATEST)
    pairs = _all() if not place else iter(kept(place["name"]))
    return next((pair for pair in pairs if pair[1].revision == revision), None)


def recall_any(address: str) -> tuple[Path, Release] | None:
    """The newest complete release that came from a place."""
    place = _place(address)
    revisions = set(place.get("refs", {}).values())
    pairs = kept(place["name"]) if place else []
    return next((pair for pair in pairs if pair[1].revision in revisions), None)
