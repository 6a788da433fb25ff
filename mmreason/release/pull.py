"""`mmreason pull`: a release from a place into the cache, every byte checked; from the cache alone where that does."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mmreason.errors import UserError
from mmreason.release import cache
from mmreason.release.amount import amount
from mmreason.release.download import fetch, is_whole, part_of
from mmreason.release.listing import FILE, Entry, Release, is_revision
from mmreason.release.store import Found, Store, Unreachable, open_store
from mmreason.run.lock import locked


def say(text: str) -> None:
    """One line to the person at the terminal; stdout holds the path alone."""
    print(text, file=sys.stderr)


def damaged(folder: Path, release: Release) -> list[Entry]:
    """Files of a kept release that are not as listed."""
    return [entry for entry in release.files if not is_whole(folder / entry.path, entry)]


def pull(place: str, ref: str | None) -> Path:
    """The folder of a release in the cache, complete and checked.

    A pinned release that is complete in the cache is returned without asking anybody. Raises UserError when the place
    holds no such release, cannot be reached and nothing kept serves, or sends other bytes than it lists.
    """
    store = open_store(place)
    kept = cache.recall(store.address, ref) if ref else None
    if kept is not None and not damaged(*kept):
        return kept[0]
    try:
        found = store.find(ref)
    except Unreachable as error:
        return _offline(store, ref, error)
    if found is None:
        raise UserError(f"{store.address} holds no release{f' {ref!r}' if ref else ''}: check the address")
    if ref is not None and is_revision(ref) and found.release.revision != ref:
        raise UserError(f"{store.address}: asked for {ref}, the place holds {found.release.revision} under that name")
    folder = bring(store, found)
    cache.remember(store.address, ref, found.release)
    return folder


def _offline(store: Store, ref: str | None, error: Unreachable) -> Path:
    """What the cache has when a place does not answer: said in one line, and only if it is whole."""
    kept = cache.recall(store.address, ref) if ref else cache.recall_any(store.address)
    if kept is None:
        raise UserError(f"{store.address} cannot be reached ({error}), and the cache holds nothing from it") from error
    folder, release = kept
    if bad := damaged(folder, release):
        raise UserError(
            f"{store.address} cannot be reached ({error}), and the cached {folder / bad[0].path} is damaged: pull it "
            "again with a connection"
        ) from error
    say(f"{store.address} cannot be reached: using revision {release.revision}, the newest in the cache")
    return folder


def bring(store: Store, found: Found) -> Path:
    """Fetch what is missing or damaged of a release, then let it count."""
    release = found.release
    folder = cache.release_dir(release.name, release.revision)
    counts = (folder / FILE).is_file()
    if counts and not damaged(folder, release):
        return folder  # before the lock, so that several processes may use one release at once
    with locked(folder.parent):
        bad = damaged(folder, release)
        if counts and bad:
            say(f"{release.name}: cached file {bad[0].path} is damaged, fetched again")
        _check_room(folder, bad)
        there = sum(_have(folder, entry) for entry in bad)
        with amount(f"pull {release.name}", sum(entry.size for entry in bad), there) as tick:
            for entry in bad:
                fetch(store, found, entry, folder / entry.path, tick)
        cache.complete(folder, release)
    return folder


def _have(folder: Path, entry: Entry) -> int:
    """Bytes of an unfinished file that are here."""
    part = part_of(folder / entry.path)
    return min(part.stat().st_size, entry.size) if part.is_file() else 0


def _check_room(folder: Path, entries: list[Entry]) -> None:
    """Refuse before the first byte what the disk cannot hold."""
    needed = sum(entry.size - _have(folder, entry) for entry in entries)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed: set MMREASON_CACHE")
