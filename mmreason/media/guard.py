"""Clips in files, read by a child process: what a hostile file does to libav, it does there.

Checks between packets end what is slow, checks of headers what is large. They cannot end a single call of libav that
does not come back, nor one that asks for all memory: an MP4 of a few hundred bytes can promise 10^8 frames. So the
reading runs in a worker with a limit on its memory, which is killed when its time is over. One worker serves one thread
and lives on; the next call after a death starts another.
"""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

import mmreason
from mmreason.errors import UserError
from mmreason.media.clip import PROBE_SECONDS, READ_SECONDS, ClipInfo, T

MEMORY = 4 << 30
"""Bytes of addresses that a worker may hold, code and stacks included; H.264 of 7,680 x 4,320 pixels took 8e8."""
GRACE = 5.0
"""Seconds after a limit before the worker is killed, for its own message to arrive."""
_PATIENCE = 1.0
"""Seconds for a worker that closed its pipe to end, so that its own way of ending is told."""
_KEPT = 4
"""Idle workers that stay; each holds about 60 MB."""

Header = dict[str, Any]


class _Died(Exception):
    """The worker ended or was ended."""


class _Worker:
    """One child process and the pipes to it."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(Path(mmreason.__file__).parents[1]), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mmreason.media.worker", str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdin and self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        self.done = True
        """Whether all of the last answer was read."""
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)

    @property
    def pid(self) -> int:
        return self._process.pid

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Header) -> None:
        self.done = False
        try:
            self._to.write(json.dumps(request).encode() + b"\n")
            self._to.flush()
        except BrokenPipeError:
            raise _Died from None

    def answer(self, until: float) -> tuple[Header, bytearray]:
        """A header and what it announces. Raises UserError with the worker's own words."""
        header = json.loads(self._read(int.from_bytes(self._read(4, until), "big"), until))
        data = self._read(header["bytes"], until)
        self.done = "shape" not in header
        if "error" in header:
            raise UserError(header["error"])
        return header, data

    def _read(self, size: int, until: float) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            left = until - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise TimeoutError
            count = os.readv(self._from.fileno(), [view[filled:]])
            if not count:
                raise _Died
            filled += count
        return data

    def end(self, patience: float = 0.0) -> str:
        """Kill it if it is still there after so many seconds; how it ended."""
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with suppress(BrokenPipeError):
            self._to.close()
        self._from.close()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


_idle: list[_Worker] = []
_lock = threading.Lock()


def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget() -> None:
    """In a forked child: a pipe with two readers would mix their frames."""
    _idle.clear()
    _lock.release()


atexit.register(_end_all)
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget)


def probe(path: Path) -> ClipInfo:
    """Times of all frames, see `clip.Reader`."""
    with _working(path, PROBE_SECONDS) as (worker, until):
        worker.ask({"do": "probe", "path": str(path)})
        header, data = worker.answer(until)
    return ClipInfo(times=np.frombuffer(data, np.float64), **header["info"])


def read_frames(path: Path, indices: Sequence[int], take: Callable[[np.ndarray], T]) -> list[T]:
    """`take` of each wanted frame in the order asked, see `clip.Reader`."""
    taken = []
    with _working(path, PROBE_SECONDS + READ_SECONDS) as (worker, until):
        worker.ask({"do": "read", "path": str(path), "indices": list(indices)})
        header, data = worker.answer(until)
        while "shape" in header:
            taken.append(take(np.frombuffer(data, np.uint8).reshape(header["shape"])))
            header, data = worker.answer(until)
    return [taken[place] for place in header["places"]]


@functools.cache
def version() -> str:
    """What decides the pixels of a frame beside the file."""
    return f"av {importlib.metadata.version('av')}"


@contextmanager
def _working(path: Path, seconds: float) -> Iterator[tuple[_Worker, float]]:
    """A worker and when its time ends."""
    worker = _take_idle() or _Worker()
    try:
        yield worker, time.monotonic() + seconds + GRACE
    except TimeoutError:
        told = f"clip {str(path)!r} took over {seconds:g} seconds to read; re-encode it or leave it out"
        raise UserError(told) from None
    except _Died:
        how = worker.end(_PATIENCE)
        raise UserError(f"clip {str(path)!r} broke its reader ({how}); re-encode it or leave it out") from None
    finally:
        _give_back(worker)


def _take_idle() -> _Worker | None:
    with _lock:
        while _idle:
            worker = _idle.pop()
            if worker.lives():
                return worker
            worker.end()
    return None


def _give_back(worker: _Worker) -> None:
    """Only one that answered to the end serves again."""
    with _lock:
        if worker.done and len(_idle) < _KEPT:
            _idle.append(worker)
            return
    worker.end()
