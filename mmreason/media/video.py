"""Clips in files, read with PyAV: each frame is known by its presentation time, and only wanted ones become pictures.

The container's packets are listed first, without decoding, which gives every frame's time whatever the frame rate
does. A wanted frame is then reached from the key frame before it and recognised by its time, so that what is decoded
is what was asked for. Where a file's times cannot be trusted (AVI, missing or double times), frames are counted.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmreason.errors import UserError
from mmreason.media.clip import PROBE_SECONDS, READ_SECONDS, ClipInfo, Deadline, T, check_indices
from mmreason.media.containers import Container, Packets, check_whole, container_of, list_packets, opened

_SKIPPING = ("h264",)
"""Codings whose packets say for certain that no other frame refers to them; HEVC says so of a temporal layer only."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """A clip's times, and how to find its frames again."""

    info: ClipInfo
    kind: Container
    marks: np.ndarray | None  # int64 [frames]: presentation times in the stream's ticks; None: frames are counted
    keys: np.ndarray  # int64: presentation times at which decoding may begin


@dataclass(frozen=True, slots=True)
class _Head:
    """What the first decoded frame and the header tell."""

    mark: int | None
    size: tuple[int, int]
    """Width and height, upright."""
    tick: float
    begins: float
    """Seconds on the container's clock at which its first stream begins."""
    rates: tuple[float, ...]
    """Frames a second that libav reports, the likelier one first."""


def probe(path: Path) -> ClipInfo:
    """Times of all frames, see `clip.Reader`."""
    return _scanned(path).info


def read_frames(path: Path, indices: Sequence[int], take: Callable[[np.ndarray], T]) -> list[T]:
    """`take` of each wanted frame in the order asked, see `clip.Reader`."""
    scan, deadline = _scanned(path), Deadline(path, READ_SECONDS)
    check_indices(path, indices, scan.info.frames)
    wanted = sorted(set(indices))
    if scan.marks is None:
        taken = _by_counting(path, scan, wanted, take, deadline)
    else:
        marks = {index: int(scan.marks[index]) for index in wanted}
        made = _by_time(path, scan, list(marks.values()), scan.keys, take, deadline)
        # A key frame that is none (a stream joined late, refreshed bit by bit) shows in what does not come out.
        left = [mark for mark in marks.values() if mark not in made]
        made |= _by_time(path, scan, left, scan.keys[:1], take, deadline) if left else {}
        taken = {index: made[mark] for index, mark in marks.items() if mark in made}
    missing = [index for index in wanted if index not in taken]
    if missing:
        at = f"frame {missing[0]} of {scan.info.frames}"
        raise UserError(f"clip {str(path)!r} is damaged: {at} cannot be decoded; fetch it again")
    return [taken[index] for index in indices]


def _scanned(path: Path) -> _Scan:
    state = path.stat()
    return _scan(path, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _scan(path: Path, size: int, changed: int) -> _Scan:
    """List the packets and decode one frame. Size and time of change are there to read a changed file anew."""
    deadline, kind = Deadline(path, PROBE_SECONDS), container_of(path)
    with opened(path, kind) as (container, stream):
        packets = list_packets(path, container, stream, deadline)
        check_whole(path, kind, container, stream, packets)
    with opened(path, kind) as (container, stream):
        head = _head(path, container, stream, deadline)
    marks = packets.shown
    distinct = bool((np.diff(marks) > 0).all())
    if kind.timed and distinct and not packets.untimed and head.mark == marks[0]:
        return _Scan(_timed_info(packets, head), kind, marks, packets.keys)
    return _Scan(_counted_info(path, kind, packets, head, deadline), kind, None, packets.keys)


def _head(path: Path, container: Any, stream: Any, deadline: Deadline) -> _Head:
    frame = next(_decoded(path, container, stream, deadline), None)
    if frame is None:
        raise UserError(f"clip {str(path)!r} holds no frame that can be decoded; fetch it again")
    size = (frame.width, frame.height) if _turns(frame) % 2 == 0 else (frame.height, frame.width)
    rates = tuple(float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
    return _Head(frame.pts, size, float(stream.time_base), (container.start_time or 0) / av.time_base, rates)


def _timed_info(packets: Packets, head: _Head) -> ClipInfo:
    times = (packets.shown - packets.shown[0]) * head.tick
    fps = _rate(times, head)
    offset = float(packets.shown[0]) * head.tick - head.begins
    if offset > 0.5 / fps:  # sound begins first; less than half a frame is the container's rounding
        times = times + offset
    return _info(times, fps, packets.last * head.tick, head)


def _counted_info(path: Path, kind: Container, packets: Packets, head: _Head, deadline: Deadline) -> ClipInfo:
    """Frames are decoded to be counted. Where as many packets as frames are there, they pair up in time."""
    with opened(path, kind) as (container, stream):
        frames = sum(1 for _ in _decoded(path, container, stream, deadline))
    if len(packets.stored) == frames:
        times = (packets.stored - packets.stored[0]) * head.tick
    else:
        times = np.arange(frames) / (head.rates or (1.0,))[0]
    return _info(times, _rate(times, head), 0.0, head)


def _rate(times: np.ndarray, head: _Head) -> float:
    """The reported rate unless the frame times contradict it by more than half a frame and a twentieth in all."""
    span = float(times[-1] - times[0])
    for rate in head.rates:
        if abs((len(times) - 1) / rate - span) <= max(0.5 / rate, 0.05 * span):
            return rate
    return (len(times) - 1) / span if span > 0 else 1.0


def _info(times: np.ndarray, fps: float, last: float, head: _Head) -> ClipInfo:
    made = ClipInfo(len(times), fps, float(times[-1]) + (last or 1 / fps), times, *head.size)
    # The container's rounding must not make 15.999 seconds of 16.
    return ClipInfo(made.frames, fps, made.frames / fps, times, *head.size) if made.constant else made


def _decoded(
    path: Path, container: Any, stream: Any, deadline: Deadline, only: frozenset[int] | None = None
) -> Iterator[Any]:
    """Frames in order of presentation; of H.264 frames that no other refers to, those with a time in `only` alone."""
    skips = only if stream.codec_context.name in _SKIPPING else None
    skipped = False
    for packet in container.demux(stream):
        deadline.check()
        if skips is not None and skipped != (packet.pts is not None and packet.pts not in skips):
            skipped = not skipped
            stream.codec_context.skip_frame = "NONREF" if skipped else "DEFAULT"
        for frame in packet.decode():
            if frame.is_corrupt:
                raise UserError(f"clip {str(path)!r} has a damaged frame at {frame.time} seconds; fetch it again")
            yield frame


def _by_counting(
    path: Path, scan: _Scan, wanted: list[int], take: Callable[[np.ndarray], T], deadline: Deadline
) -> dict[int, T]:
    taken, left = {}, set(wanted)
    with opened(path, scan.kind) as (container, stream):
        for index, frame in enumerate(_decoded(path, container, stream, deadline)):
            if index in left:
                taken[index] = take(_picture(frame))
            if index >= wanted[-1]:
                break
    return taken


def _by_time(
    path: Path,
    scan: _Scan,
    marks: list[int],
    keys: np.ndarray,
    take: Callable[[np.ndarray], T],
    deadline: Deadline,
) -> dict[int, T]:
    """Frames at `marks` (ascending) by way of the key frames before them; those that do not come out are left out."""
    taken: dict[int, T] = {}
    left, only = deque(marks), frozenset(marks)
    with opened(path, scan.kind) as (container, stream):
        while left:
            key = _key_before(keys, left[0])
            if key > keys[0]:
                container.seek(key, stream=stream)
            for frame in _decoded(path, container, stream, deadline, only):
                before = len(left)
                while left and left[0] < frame.pts:
                    left.popleft()
                if left and left[0] == frame.pts:
                    taken[left.popleft()] = take(_picture(frame))
                if not left or (len(left) < before and _key_before(keys, left[0]) > frame.pts):
                    break
            else:
                break
    return taken


def _key_before(keys: np.ndarray, mark: int) -> int:
    """The last key at or before a time; the first of all where none is."""
    return int(keys[max(int(np.searchsorted(keys, mark, "right")) - 1, 0)])


def _turns(frame: Any) -> int:
    """Quarter turns counter-clockwise that put a frame upright."""
    turns: int = round(frame.rotation / 90) % 4
    return turns


def _picture(frame: Any) -> np.ndarray:
    """uint8 RGB [height, width, 3], upright, transparent parts on white."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba").astype(np.uint16)
        alpha = rgba[..., 3:]
        picture = ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        picture = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(picture, _turns(frame)))
