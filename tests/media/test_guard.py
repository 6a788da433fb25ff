"""Hostile files: the child process that reads them ends within its limits, and the next file is read."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mmreason.errors import UserError

av = pytest.importorskip("av", reason="clips are read with PyAV")

from mmreason.media import guard, video  # noqa: E402

if TYPE_CHECKING:
    from conftest import Make


@pytest.fixture(autouse=True)
def _own_workers() -> Iterator[None]:
    guard._end_all()
    yield
    guard._end_all()


def box(name: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), name) + data


def full(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", flags), *parts)


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def promising(count: int) -> bytes:
    """An MP4 of 647 bytes that promises `count` frames of one byte: libav makes an index of all when it opens it."""
    matrix = words(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    look = struct.pack(">6xH16xHHIIIH32xHh", 1, 64, 64, 0x480000, 0x480000, 0, 1, 24, -1)
    table = box(
        b"stbl",
        full(b"stsd", words(1), box(b"avc1", look)),
        full(b"stts", words(1, count, 1)),
        full(b"stsc", words(1, 1, count, 1)),
        full(b"stsz", words(1, count)),
        full(b"stco", words(1, 40)),
    )
    where = box(b"dinf", full(b"dref", words(1), full(b"url ", flags=1)))
    inner = box(b"minf", full(b"vmhd", bytes(8), flags=1), where, table)
    media = box(b"mdia", full(b"mdhd", words(0, 0, 1000, count, 0)), full(b"hdlr", words(0), b"vide", bytes(13)), inner)
    track = full(b"tkhd", words(0, 0, 1, 0, count, 0, 0, 0, 0), matrix, words(64 << 16, 64 << 16), flags=3)
    head = full(b"mvhd", words(0, 0, 1000, count, 0x10000), b"\1\0", bytes(10), matrix, bytes(24), words(2))
    movie = box(b"moov", head, box(b"trak", track, media))
    return box(b"ftyp", b"isom", words(0), b"isom") + box(b"mdat", bytes(64)) + movie


def told(path: Path, work: Callable[[Path], object] = guard.probe) -> str:
    with pytest.raises(UserError) as caught:
        work(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_child_gives_what_the_reader_gives(clip: Make) -> None:
    path, indices = clip("plain.mp4", 60), [50, 3, 3, 20]
    here, there = video.probe(path), guard.probe(path)
    assert np.array_equal(here.times, there.times)
    assert (here.frames, here.fps, here.duration, here.constant) == (there.frames, there.fps, there.duration, True)
    plain = video.read_frames(path, indices, lambda frame: frame.copy())
    seen: list[int] = []
    guarded = guard.read_frames(path, indices, lambda frame: (seen.append(1), frame.copy())[1])
    assert len(seen) == 3
    assert all(np.array_equal(one, other) for one, other in zip(plain, guarded, strict=True))


def test_one_call_of_libav_that_does_not_come_back(clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening this file takes 20 seconds and 2.8 GB in a single call, which no check between packets can end."""
    path = clip("plain.mp4", 5)
    guard.probe(path)
    (tmp_path / "bomb.mp4").write_bytes(promising(80_000_000))
    monkeypatch.setattr(guard, "PROBE_SECONDS", 0.4)
    monkeypatch.setattr(guard, "GRACE", 0.0)
    begun = time.monotonic()
    assert "took over 0.4 seconds to read" in told(tmp_path / "bomb.mp4")
    assert time.monotonic() - begun < 2
    monkeypatch.undo()
    assert guard.probe(path).frames == 5


def test_memory_is_limited(clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of this file does not fit; libav then goes on without one."""
    monkeypatch.setattr(guard, "MEMORY", 1 << 30)
    (tmp_path / "bomb.mp4").write_bytes(promising(80_000_000))
    begun = time.monotonic()
    assert "holds no frame" in told(tmp_path / "bomb.mp4")
    assert time.monotonic() - begun < 5
    assert guard.probe(clip("plain.mp4", 5)).frames == 5


def test_an_error_leaves_the_worker_and_a_death_does_not(clip: Make, tmp_path: Path) -> None:
    path = clip("plain.mp4", 30)
    (tmp_path / "page.mp4").write_bytes(b"<html>not found</html>")
    guard.probe(path)
    (worker,) = guard._idle
    assert "no known clip" in told(tmp_path / "page.mp4")
    assert "frame 99 was asked for" in told(path, lambda p: guard.read_frames(p, [99], np.copy))
    assert guard._idle == [worker]

    def kill(frame: np.ndarray) -> None:
        os.kill(worker.pid, signal.SIGKILL)

    assert "broke its reader (SIGKILL)" in told(path, lambda p: guard.read_frames(p, list(range(30)), kill))
    assert guard.probe(path).frames == 30
    idle = guard._idle[0]
    os.kill(idle.pid, signal.SIGKILL)  # while it waits: no file's fault
    while idle.lives():
        time.sleep(0.01)
    assert guard.probe(path).frames == 30


def test_a_half_read_answer_is_not_read_by_the_next(clip: Make) -> None:
    path = clip("plain.mp4", 30)

    def fail(frame: np.ndarray) -> None:
        raise UserError("no room")

    with pytest.raises(UserError, match="no room"):
        guard.read_frames(path, [0, 5, 9], fail)
    assert guard._idle == []
    assert len(guard.read_frames(path, [1, 2], np.copy)) == 2


def test_threads_have_workers_of_their_own(clip: Make) -> None:
    path = clip("shared.mp4", 60)
    alone = {index: guard.read_frames(path, [index], np.copy)[0] for index in (5, 50)}
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda index: guard.read_frames(path, [index], np.copy)[0], [5, 50] * 4))
    assert all(np.array_equal(frame, alone[index]) for frame, index in zip(made, [5, 50] * 4, strict=True))
    assert 1 <= len(guard._idle) <= 4


def test_a_forked_child_takes_none_of_the_parents_workers(clip: Make) -> None:
    guard.probe(clip("plain.mp4", 5))
    child = os.fork()
    if not child:
        os._exit(len(guard._idle))
    assert os.waitpid(child, 0)[1] == 0
    assert len(guard._idle) == 1
