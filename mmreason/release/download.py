"""One file of a release onto this machine: continued where it broke off, kept only if size and checksum are right."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mmreason.errors import UserError
from mmreason.release.listing import Entry
from mmreason.release.store import Found, Store, Unreachable
from mmreason.run.files import file_sha256, is_disk_full
from mmreason.run.progress import Tick

ATTEMPTS = 3
"""Tries in a row that bring nothing new, after which a download stops."""
PAUSE = 1.0
"""Seconds before the second try; they double."""


def is_whole(file: Path, entry: Entry) -> bool:
    """Whether `file` is the one listed, byte for byte; a link is not."""
    if file.is_symlink() or not file.is_file() or file.stat().st_size != entry.size:
        return False
    return file_sha256(file) == entry.sha256


def part_of(target: Path) -> Path:
    """Where the unfinished download of a file lies."""
    return target.with_name(f"{target.name}.part")


def fetch(store: Store, found: Found, entry: Entry, target: Path, tick: Tick) -> None:
    """Bring one file to `target`; a `.part` beside it from an earlier try is continued.

    Raises UserError when the place breaks off again and again (the part stays), or twice sends other bytes than its
    listing promises (the part goes).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    for last in (False, True):
        _complete(store, found, entry, part, tick)
        if is_whole(part, entry):
            part.replace(target)
            return
        size = part.stat().st_size
        part.unlink()
        tick(-size)
        if last:
            raise UserError(
                f"{store.address}: {entry.path} arrives as {size} bytes with another checksum than release.json "
                f"promises ({entry.size} bytes, sha256 {entry.sha256[:12]}...): it was changed there, publish it again"
            )


def _complete(store: Store, found: Found, entry: Entry, part: Path, tick: Tick) -> None:
    """Append to `part` until it has the size that is listed, or the place has no more of it."""
    if part.is_symlink() or (part.is_file() and part.stat().st_size > entry.size):
        part.unlink()
    part.touch()
    failures = 0
    while (before := part.stat().st_size) < entry.size:
        broken = _append(store.chunks(found.where, entry.path, before), part, entry.size, tick)
        now = part.stat().st_size
        if broken is None and now == before:
            return
        failures = failures + 1 if now == before else 0
        if failures == ATTEMPTS:
            raise UserError(
                f"{store.address}: {entry.path} broke off at {now} of {entry.size} bytes ({broken}): run the same "
                "command again to continue"
            )
        time.sleep(PAUSE * 2 ** (failures - 1) if failures else 0)


def _append(chunks: Iterator[bytes], part: Path, size: int, tick: Tick) -> Unreachable | None:
    """Write chunks to the end of `part`, at most one byte over `size`: a server cannot fill the disk.

    Returns what broke the stream, if anything did.
    """
    try:
        with part.open("ab") as handle:
            for chunk in chunks:
                room = size + 1 - handle.tell()
                handle.write(chunk[:room])
                tick(min(len(chunk), room))
                if len(chunk) >= room:
                    break
    except Unreachable as error:
        return error
    except OSError as error:
        if is_disk_full(error):
            raise UserError(f"no space left to write {part}: free some disk and run the same command again") from error
        raise
    return None
