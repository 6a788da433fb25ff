"""Worker processes for symbolic comparison: one hard deadline a job, killed and replaced when they miss it."""

from __future__ import annotations

import atexit
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from typing import IO, Any

START_SECONDS = 120.0
"""A worker imports sympy before its first job; that time is no part of a job's deadline."""


MEMORY = 2 << 30
"""Bytes of address space of a worker; beyond it allocation fails inside the worker and nowhere else."""
OUT_OF_MEMORY = "MemoryError"
"""A worker that ran into its limit is replaced: what it still holds is unknown."""


class JobTimeout(Exception):
    """The job ran past its deadline; its worker was killed."""


class _Worker:
    """One `python -m mmreason.rewards.math_worker` that answers JSON lines.

    A plain subprocess and pipes, so that it works from threads, from daemonic processes and after a fork, and so
    that a kill really ends the computation. A signal-based limit would only work in the main thread.
    """

    def __init__(self, memory: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mmreason.rewards.math_worker", str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            bufsize=0,  # nothing unsent may be left in a buffer that a fork would copy
        )
        if self._line(START_SECONDS) != b"ready\n":
            raise RuntimeError(f"the math worker did not start (exit code {self.process.wait()})")

    def _line(self, seconds: float) -> bytes:
        """The next line, empty if the worker ended or was killed at the deadline."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            return _open(self.process.stdout).readline()
        finally:
            timer.cancel()

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """The reply with the "seconds" it took, or None if the worker died or was killed on the way."""
        start = time.monotonic()
        line = json.dumps({**job, "seconds": math.ceil(seconds) + 1}) + "\n"
        try:
            _open(self.process.stdin).write(line.encode())
        except BrokenPipeError:
            return None
        answer = self._line(seconds)
        if not answer.endswith(b"\n"):
            return None
        return {**json.loads(answer), "seconds": time.monotonic() - start}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        _open(self.process.stdin).close()
        _open(self.process.stdout).close()


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


class Pool:
    """At most `size` workers, started when first needed; callers beyond that wait for a free one.

    `memory`: bytes of address space of a worker, where the system can bound it (not on Windows).
    """

    def __init__(self, size: int, memory: int = MEMORY) -> None:
        self.memory = memory
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)
        self.started = 0
        """Workers started so far, replacements included."""

    def run(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's reply. Raises JobTimeout if none came in time."""
        worker, healthy = self._slots.get(), None
        try:
            if worker is None:
                worker = _Worker(self.memory)
                self.started += 1
            reply = worker.ask(job, seconds)
            if reply is None:
                raise JobTimeout(f"no verdict within {seconds:g} s")
            if reply.get("error") != OUT_OF_MEMORY:
                healthy = worker
            return reply
        finally:
            if worker is not None and healthy is None:
                worker.stop()  # also after Ctrl-C: a late reply must not answer the next job
            self._slots.put(healthy)

    def close(self) -> None:
        """Stop the idle workers."""
        while not self._slots.empty():
            worker = self._slots.get_nowait()
            if worker is not None:
                worker.stop()


_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def shared_pool() -> Pool:
    """The pool of this process; a forked child gets its own, never its parent's pipes."""
    with _lock:
        if os.getpid() not in _pools:
            _pools[os.getpid()] = Pool(max(1, min(4, os.cpu_count() or 1)))
            atexit.register(_pools[os.getpid()].close)
        return _pools[os.getpid()]


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it
    for pool in _pools.values():
        atexit.unregister(pool.close)
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
