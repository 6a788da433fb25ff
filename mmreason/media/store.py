"""Decoded frames on disk, found again by what they were made of, shared by every process that names the folder.

An entry is one array in a file of its own, whose name is the hash of all that decides its content. Writers fill a file
beside and rename it; readers take no lock. An entry that was evicted or damaged is simply made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmreason.errors import UserError
from mmreason.media.clip import PROBE_SECONDS, READ_SECONDS
from mmreason.run.files import is_disk_full

LIMIT = 16 << 30
"""Bytes that a store may fill; 27,000 frames of 336 x 588 pixels."""
_LEFT_FULL = 0.9
"""Share of the limit that an eviction leaves, so that not every new entry needs one."""
_CHECK_BYTES = 4
_WAIT = 2 * (PROBE_SECONDS + READ_SECONDS)
"""Seconds for a lock, which is held while a clip is read."""
_TRY_AGAIN = 0.02
"""Seconds between two looks at a lock that another holds."""

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What a store did for this process."""

    hits: int = 0
    """Entries that were there, each counted once a call."""
    misses: int = 0
    """Entries that had to be made; for frames: frames decoded."""
    evictions: int = 0
    """Entries that this process removed to keep the limit, whoever made them."""
    damaged: int = 0
    """Entries that were made again because their checksum was wrong."""


def default_folder() -> Path:
    """`media` under MMREASON_CACHE, else under ~/.cache/mmreason."""
    from mmreason.release.cache import cache_root  # late: it loads the settings of releases

    return cache_root() / "media"


def entry_key(*parts: object) -> str:
    """Name of an entry made of `parts`, each written by str."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


class MediaStore:
    """Arrays under keys in a folder, at most `limit` bytes of them; the one unused for longest leaves first.

    Safe for threads and for processes on one machine. Raises UserError where the folder cannot be used or the disk is
    full.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.limit = limit
        self.counts = Counts()
        self._guard = threading.Lock()

    def all_of(
        self, group: str, keys: Sequence[str], make: Callable[[list[int]], Sequence[np.ndarray]]
    ) -> list[np.ndarray]:
        """The value of each key; `make` gives those of the positions that are missing, a repeated key's first one.

        One process at a time makes values of a `group`, and looks again before it does, so that each is made once.
        """
        self._make_folder()
        first: dict[str, int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        found = self._held(first)
        made: dict[str, np.ndarray] = {}
        if len(found) < len(first):
            with self._locked(self.folder / "locks" / entry_key(group)[:2]):
                found |= self._held(key for key in first if key not in found)
                missing = [key for key in first if key not in found]
                values = make([first[key] for key in missing]) if missing else []
                made = dict(zip(missing, values, strict=True))
                for key, value in made.items():
                    self.put(key, value)
        self._count(hits=len(found), misses=len(made))
        found |= made
        return [found[key] for key in keys]

    def _held(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        return {key: value for key in keys if (value := self.get(key)) is not None}

    def get(self, key: str) -> np.ndarray | None:
        """The value of a key, which now counts as used last; None where it is not there or is damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        value = _unpacked(data)
        if value is None:
            _LOG.warning("%s is damaged, it is made again", path)
            path.unlink(missing_ok=True)
            self._count(damaged=1)
        return value

    def put(self, key: str, value: np.ndarray) -> None:
        """Keep a value. One above the limit is not kept."""
        self._make_folder()
        data, path = _packed(value), self._path(key)
        if len(data) > self.limit:
            _LOG.warning("%d bytes are above the limit of %s, %d; not kept", len(data), self.folder, self.limit)
            return
        with self._locked(self.folder / "usage") as usage:
            if path.exists():
                return
            held = _number(usage)
            if held is None or held + len(data) > self.limit:
                held = self._evict(len(data))
            # Counted before it is written: a process that dies in between makes the count too high, never too low.
            _write_number(usage, held + len(data))
            self._write(path, data)

    def _make_folder(self) -> None:
        """Late, so that runs without clips leave no folder behind."""
        try:
            for name in ("entries", "locks"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror
            raise UserError(f"cannot make {self.folder}: {why}; set MMREASON_CACHE to a folder of yours") from None

    def _write(self, path: Path, data: bytes) -> None:
        beside = path.with_name(f".{path.name}.part")  # one writer at a time holds the lock
        try:
            path.parent.mkdir(exist_ok=True)
            beside.write_bytes(data)  # not flushed to disk: the checksum finds what a power cut leaves
            os.replace(beside, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            if is_disk_full(error):
                raise UserError(f"no space left for {self.folder}: free some disk or set MMREASON_CACHE") from None
            raise

    def _evict(self, coming: int) -> int:
        """Remove what was unused for longest until `coming` bytes fit; the bytes held then. The lock is held."""
        entries, room = [], self.limit - coming
        for path in (self.folder / "entries").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # a reader removes what is damaged without the lock
                if path.name.startswith("."):
                    path.unlink()  # its writer died: only who holds the lock writes
                    continue
                state = path.stat()
                entries.append((state.st_mtime_ns, state.st_size, path))
        held = sum(size for _, size, _ in entries)
        if held <= room:
            return held
        for _, size, path in sorted(entries):
            if held <= min(room, self.limit * _LEFT_FULL):
                break
            path.unlink(missing_ok=True)
            held -= size
            self._count(evictions=1)
        return held

    @contextmanager
    def _locked(self, path: Path) -> Iterator[int]:
        """Hold a lock that ends with the process. Raises UserError when another has held it for too long."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            end = time.monotonic() + _WAIT
            while not _took(handle):
                if time.monotonic() > end:
                    raise UserError(f"another process has held {path} for {_WAIT:g} seconds; is it stopped?")
                time.sleep(_TRY_AGAIN)
            yield handle
        finally:
            os.close(handle)

    def _path(self, key: str) -> Path:
        return self.folder / "entries" / key[:2] / key[2:]

    def _count(self, **more: int) -> None:
        with self._guard:
            for name, number in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + number)


def _took(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise UserError(
            f"this file system has no locks ({error.strerror}); set MMREASON_CACHE to a local disk"
        ) from None
    return True


def _number(handle: int) -> int | None:
    """What a usage file says; None where it is new or unreadable."""
    text = os.pread(handle, 32, 0)
    return int(text) if text.strip().isdigit() else None


def _write_number(handle: int, number: int) -> None:
    os.pwrite(handle, f"{number:>20}\n".encode(), 0)


def _packed(value: np.ndarray) -> bytes:
    """The array as .npy, which holds its shape and length, and a checksum of all that."""
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    data = file.getvalue()
    return data + zlib.crc32(data).to_bytes(_CHECK_BYTES, "big")


def _unpacked(data: bytes) -> np.ndarray | None:
    body = memoryview(data)[:-_CHECK_BYTES]
    if zlib.crc32(body).to_bytes(_CHECK_BYTES, "big") != data[-_CHECK_BYTES:]:
        return None
    try:
        value: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return value
