"""Container files before anything is decoded: what a file really holds, its list of packets, whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from mmreason.errors import UserError
from mmreason.media.clip import MAX_FRAMES, Deadline
from mmreason.media.files import MAX_PIXELS, MAX_VIDEO_BYTES

_OPEN_SECONDS = 30.0
"""For libav's own reading of a header."""
_THREADS = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
"""For one clip. Two threads cost a quarter more work than one, which only cores without other work make up for."""


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file."""

    name: str
    demuxer: str
    """libav's name. It is forced, so that a play list with a video's name cannot make libav open other files."""
    suffixes: tuple[str, ...]
    timed: bool = True
    """Its packets carry the times at which frames appear."""


CONTAINERS = (
    Container("MP4", "mov", (".mp4", ".mov")),
    Container("Matroska/WebM", "matroska", (".mkv", ".webm")),
    Container("AVI", "avi", (".avi",), timed=False),
    Container("GIF", "gif", (".gif",)),
)
_ATOMS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def container_of(path: Path) -> Container:
    """The kind that a file's first bytes tell. Raises UserError where they are no clip's or the extension differs."""
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"clip {str(path)!r} is empty; fetch it again")
    if size > MAX_VIDEO_BYTES:
        raise UserError(f"clip {str(path)!r} has {size >> 20} MiB, at most {MAX_VIDEO_BYTES >> 20} are read; shrink it")
    with path.open("rb") as handle:
        head = handle.read(12)
    name = _name_of(head)
    for kind in CONTAINERS:
        if kind.name == name and path.suffix.lower() in kind.suffixes:
            return kind
    suffix = path.suffix.lower() or "no extension"
    if not name:
        raise UserError(f"clip {str(path)!r} ({suffix}) begins with {head[:4]!r}, which no known clip does; convert it")
    raise UserError(f"clip {str(path)!r} holds {name}, its extension says {suffix}; rename or convert it")


def _name_of(head: bytes) -> str:
    if head[4:8] in _ATOMS:
        return "MP4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "Matroska/WebM"
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "AVI"
    return "GIF" if head[:6] in (b"GIF87a", b"GIF89a") else ""


@contextmanager
def opened(path: Path, kind: Container) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream. What libav says of a broken file becomes one line."""
    try:
        with av.open(f"file:{path}", format=kind.demuxer, timeout=_OPEN_SECONDS) as container:
            streams = container.streams.video
            if not streams:
                raise UserError(f"clip {str(path)!r} holds no video stream; fetch it again")
            stream = streams[0]
            if stream.codec_context is None:
                raise UserError(f"clip {str(path)!r} is in a coding that this libav cannot decode; re-encode it")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > MAX_PIXELS:
                raise UserError(f"clip {str(path)!r} is {width} x {height} pixels, at most {MAX_PIXELS} are decoded")
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            stream.codec_context.thread_count = _THREADS
            stream.thread_type = "AUTO"
            yield container, stream
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"clip {str(path)!r} is damaged ({reason}); fetch it again") from None


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """What a stream's packets say, in ticks of its time base."""

    shown: np.ndarray  # int64: presentation times of packets that show a frame, ascending
    stored: np.ndarray  # int64: decoding times of the same packets; empty where some have none
    keys: np.ndarray  # int64: presentation times of key frames, ascending; hidden ones before a cut included
    last: int
    """How long the last frame stays; 0 where unknown."""
    untimed: int
    """Packets without presentation time."""
    total: int
    """All packets, empty ones included."""


def list_packets(path: Path, container: Any, stream: Any, deadline: Deadline) -> Packets:
    """Read the file once without decoding. Raises UserError for a packet that was cut and for too many."""
    shown, stored, keys, total, untimed = [], [], [], 0, 0
    for packet in container.demux(stream):
        deadline.check()
        if packet.dts is None and packet.size == 0:
            continue  # the demuxer's end mark
        total += 1
        if total > MAX_FRAMES:
            raise UserError(f"clip {str(path)!r} has over {MAX_FRAMES} frames; cut it into parts")
        if packet.is_corrupt:
            raise UserError(f"clip {str(path)!r} is damaged or cut in its packet {total}; fetch it again")
        if packet.is_keyframe and packet.pts is not None:
            keys.append(packet.pts)
        if packet.size and not packet.is_discard and not _hidden(stream, packet):
            untimed += packet.pts is None
            shown.append((packet.pts or 0, packet.duration or 0))
            stored.append(packet.dts)
    if not shown:
        raise UserError(f"clip {str(path)!r} holds no frame; fetch it again")
    times = np.array(sorted(shown), dtype=np.int64)
    order = np.array(sorted(stored) if None not in stored else [], dtype=np.int64)
    begins = np.array(sorted(keys) or [times[0, 0]], dtype=np.int64)
    return Packets(times[:, 0], order, begins, int(times[-1, 1]), untimed, total)


def _hidden(stream: Any, packet: Any) -> bool:
    """Whether a VP8 packet only serves as a reference; its fourth bit says whether a frame is shown."""
    return stream.codec_context.name == "vp8" and not memoryview(packet)[0] >> 4 & 1


def check_whole(path: Path, kind: Container, container: Any, stream: Any, packets: Packets) -> None:
    """Raises UserError where header or index promise more than the file holds."""
    size = path.stat().st_size
    beyond = [entry for entry in stream.index_entries if entry.pos + entry.size > size]
    if beyond:
        raise UserError(
            f"clip {str(path)!r} is cut: its index lists {len(beyond)} frames beyond its end; fetch it again"
        )
    if kind.name == "AVI" and packets.total < stream.frames:
        raise UserError(
            f"clip {str(path)!r} is cut: {packets.total} of {stream.frames} frames are there; fetch it again"
        )
    if kind.name == "GIF" and not _tail(path).rstrip(b"\0").endswith(b";"):
        raise UserError(f"clip {str(path)!r} is cut: a GIF's end mark is missing; fetch it again")
    if packets.untimed:
        return
    told, held = _promised(container, stream), float((packets.shown[-1] + packets.last) * stream.time_base)
    if told - held > 0.5 + 0.01 * told:
        raise UserError(f"clip {str(path)!r} is cut: {held:.1f} of {told:.1f} seconds are there; fetch it again")


def _tail(path: Path) -> bytes:
    with path.open("rb") as handle:
        handle.seek(-min(64, path.stat().st_size), 2)
        return handle.read()


def _promised(container: Any, stream: Any) -> float:
    """Seconds at which the video should end, 0 where the header does not say; sound may go on for longer."""
    tag = stream.metadata.get("DURATION", "").split(":")
    if len(tag) == 3:
        return int(tag[0]) * 3600 + int(tag[1]) * 60 + float(tag[2])
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    alone = len(container.streams) == 1 and container.duration
    return float((container.duration + (container.start_time or 0)) / av.time_base) if alone else 0.0
