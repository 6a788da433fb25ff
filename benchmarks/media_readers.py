"""Readers of clips against each other: speed on 48 of 9,000 frames of a long H.264 file, and whether indices are exact.

python benchmarks/media_readers.py --clips DATA/annotated_clips/videos --out benchmarks/results/media_readers_DATE.json

The long file is made of the clips at hand, 640 x 360, five minutes at 30 frames a second; each frame carries its number
as stripes along its lower edge. Readers that cannot be imported are listed with what their import said. "naive" is what
a reader's own documentation shows: open the file, ask for the frames, all at once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from mmreason.media import guard, video
from mmreason.media.resize import patchify
from mmreason.media.store import MediaStore, entry_key

FRAMES, WANTED, RUNS = 9_000, 48, 3
HEIGHT, WIDTH, BITS = 360, 640, 16
STRIPE = WIDTH // BITS

Pictures = Sequence[np.ndarray]
Read = Callable[[Path, list[int]], Pictures]


def pyav_naive(path: Path, indices: list[int]) -> Pictures:
    """A seek by seconds for each frame, then decoding until its time is reached."""
    made = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for index in indices:
            mark = round(index / stream.average_rate / stream.time_base)
            container.seek(mark, stream=stream)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= mark)
            made.append(frame.to_ndarray(format="rgb24"))
    return made


def decord_naive(path: Path, indices: list[int]) -> Pictures:
    """decord, its own number of threads."""
    import decord

    return list(decord.VideoReader(str(path)).get_batch(indices).asnumpy())


def torchcodec_naive(path: Path, indices: list[int]) -> Pictures:
    """torchcodec, one thread and exact seeks, its defaults."""
    return _torchcodec(path, indices)


def torchcodec_tuned(path: Path, indices: list[int]) -> Pictures:
    """torchcodec, FFmpeg's own number of threads and seeks by the header's frame rate."""
    return _torchcodec(path, indices, num_ffmpeg_threads=0, seek_mode="approximate")


def _torchcodec(path: Path, indices: list[int], **settings: Any) -> Pictures:
    from torchcodec.decoders import VideoDecoder

    frames = VideoDecoder(str(path), dimension_order="NHWC", **settings).get_frames_at(indices)
    return list(frames.data.numpy())


def ours(path: Path, indices: list[int]) -> Pictures:
    """mmreason in this process, nothing known of the file."""
    os.utime(path)  # a changed file is listed anew
    return ours_known(path, indices)


def ours_known(path: Path, indices: list[int]) -> Pictures:
    """mmreason in this process, a second question on the same file."""
    return video.read_frames(path, indices, lambda frame: frame)


def ours_guarded(path: Path, indices: list[int]) -> Pictures:
    """mmreason as it reads by default: in a child process that a hostile file may take down; its start not counted."""
    os.utime(path)
    return guard.read_frames(path, indices, lambda frame: frame)


READERS: dict[str, Read] = {
    read.__name__: read
    for read in (pyav_naive, decord_naive, torchcodec_naive, torchcodec_tuned, ours, ours_known, ours_guarded)
}


def stamped(picture: np.ndarray, number: int) -> np.ndarray:
    """The picture with its number along the lower edge: 16 stripes, the lowest bit at the left."""
    bits = np.array([number >> place & 1 for place in range(BITS)], np.uint8) * 255
    picture[-STRIPE:] = np.repeat(bits, STRIPE)[None, :, None]
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that `stamped` wrote, for frames of any multiple of 16 in width."""
    step = picture.shape[1] // BITS
    lit = picture[-step // 2, step // 2 :: step, 1] > 127
    return int(sum(1 << place for place, on in enumerate(lit) if on))


def scenes(clips: Path) -> Iterator[np.ndarray]:
    """The H.264 clips one after another, again and again."""
    while True:
        for path in sorted(clips.glob("*.mp4")):
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    yield frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray()


def encode(
    path: Path, pictures: Iterator[np.ndarray], count: int, seconds: Sequence[float] = (), codec: str = "libx264"
) -> Path:
    """`count` numbered pictures at 30 a second or at given times; x264's own key frames and B-frames."""
    options = {"preset": "veryfast"} if codec == "libx264" else {"deadline": "realtime"}
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if len(seconds):
            stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(stamped(next(pictures), number), format="rgb24")
            if len(seconds):
                frame.pts, frame.time_base = round(seconds[number] * 90_000), Fraction(1, 90_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def speeds(path: Path, readers: dict[str, Read]) -> dict[str, dict[str, Any]]:
    """Median seconds of each reader, all taking turns, and how many frames were other than asked for."""
    draw = random.Random(0)
    asks = {
        "random": draw.sample(range(FRAMES), WANTED),
        "uniform": [round(index) for index in np.linspace(0, FRAMES - 1, WANTED)],
    }
    made: dict[str, dict[str, Any]] = {}
    for name, indices in asks.items():
        spent: dict[str, list[tuple[float, float]]] = {reader: [] for reader in readers}
        wrong = {}
        for _ in range(RUNS):
            for reader, read in readers.items():
                begun, worked = time.monotonic(), time.process_time()
                pictures = read(path, indices)
                spent[reader].append((time.monotonic() - begun, time.process_time() - worked))
                wrong[reader] = sum(number_of(p) != i for p, i in zip(pictures, indices, strict=True))
        made[name] = {reader: {**_summary(all_), "wrong": wrong[reader]} for reader, all_ in spent.items()}
    for asked in made.values():
        asked["ours_guarded"].pop("cpu")  # the child's work is not in this process's clock
    return made


def _summary(spent: list[tuple[float, float]]) -> dict[str, Any]:
    seconds, cpu = zip(*spent, strict=True)
    middle = statistics.median
    return {"seconds": round(middle(seconds), 2), "fastest": round(min(seconds), 2), "cpu": round(middle(cpu), 2)}


def store_cost(folder: Path) -> dict[str, Any]:
    """Milliseconds for 32 frames of 336 x 588: out of the store as bytes, then to patches; and patches read as such."""
    frames = np.random.default_rng(0).integers(0, 256, (32, 3, 336, 588), dtype=np.uint8)
    store, keys = MediaStore(folder), [entry_key(number) for number in range(33)]
    patches = _patches(list(frames))
    steps: dict[str, Callable[[], object]] = {
        "write frames": lambda: store.all_of("clip", keys[:32], lambda places: [frames[place] for place in places]),
        "read frames": lambda: store.all_of("clip", keys[:32], lambda places: []),
        "frames to patches": lambda: _patches(list(frames)),
        "write patches": lambda: store.put(keys[32], patches),
        "read patches": lambda: store.get(keys[32]),
    }
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(RUNS):
        for name, step in steps.items():
            if turn and name.startswith("write"):
                continue
            begun = time.monotonic()
            step()
            spent[name].append(round((time.monotonic() - begun) * 1000, 1))
    sizes = {"MiB of frames": frames.nbytes >> 20, "MiB of patches": patches.nbytes >> 20}
    return {name: statistics.median(all_) for name, all_ in spent.items()} | sizes


def _patches(frames: list[np.ndarray]) -> np.ndarray:
    """As `Visual` makes them of uint8 frames [3, height, width]."""
    scaled = (torch.from_numpy(np.stack(frames)).float() - 120.0) / 68.0
    return patchify(scaled, 14, 2, 2)[0].numpy()


def hard_clips(folder: Path, clips: Path) -> dict[str, tuple[Path, list[int]]]:
    """Clips of 120 frames with the numbers that their frames carry in order of presentation."""
    every, picture = list(range(120)), scenes(clips)
    varying = [*np.arange(60) * 0.04, *(4 + np.arange(60) * 0.1)]
    cut = [(number - 15) / 30 for number in every]
    return {
        "constant.mp4": (encode(folder / "constant.mp4", picture, 120), every),
        "varying rate.mp4": (encode(folder / "varying.mp4", picture, 120, varying), every),
        "edit list.mp4": (encode(folder / "edited.mp4", picture, 120, cut), every[15:]),
        "matroska.mkv": (encode(folder / "plain.mkv", picture, 120), every),
        "vp8.webm": (encode(folder / "vp8.webm", picture, 120, codec="libvpx"), every),
        "h264.avi": (encode(folder / "plain.avi", picture, 120), every),
    }


def exactness(cases: dict[str, tuple[Path, list[int]]], readers: dict[str, Read]) -> dict[str, dict[str, str]]:
    """For every reader and clip: every third frame in a shuffled order, exact or how many are not."""
    made: dict[str, dict[str, str]] = {}
    for case, (path, numbers) in cases.items():
        indices = list(range(0, len(numbers), 3))
        random.Random(1).shuffle(indices)
        for reader, read in readers.items():
            try:
                got = [number_of(picture) for picture in read(path, indices)]
            except Exception as error:  # another project's reader may raise anything: it is the finding
                told = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            else:
                off = sum(number != numbers[index] for number, index in zip(got, indices, strict=True))
                told = "exact" if not off else f"{off} of {len(indices)} frames are others"
            made.setdefault(reader, {})[case] = told
    return made


def present(path: Path) -> tuple[dict[str, Read], dict[str, str]]:
    """Readers that give a frame, and what the others said."""
    held, absent = {}, {}
    for name, read in READERS.items():
        try:
            read(path, [0])
        except Exception as error:  # so may its import
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            missing = [line for line in lines if "cannot open shared object" in line]
            absent[name] = f"{type(error).__name__}: {(missing or lines or [''])[0][:200]}"
        else:
            held[name] = read
    return held, absent


def versions() -> dict[str, str]:
    """Of the readers that are installed."""
    found = {}
    for name in ("av", "decord", "torchcodec", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> None:
    """Make the clips, measure, print and perhaps write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder with mp4 clips")
    parser.add_argument("--keep", type=Path, help="where the long file stays for the next run")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        long = options.keep or Path(scratch) / "long.mp4"
        if not long.exists():
            encode(long, scenes(options.clips), FRAMES)
        cases = hard_clips(Path(scratch), options.clips)
        readers, absent = present(cases["constant.mp4"][0])
        result = {
            "claim": "random access to 48 of 9,000 frames is at least as fast as the best reader used naively",
            "command": f"python benchmarks/media_readers.py --clips {options.clips.name}",
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": {
                "machine": platform.machine(),
                "cpus": len(os.sched_getaffinity(0)),
                "load before": round(os.getloadavg()[0], 1),
            },
            "python": platform.python_version(),
            "versions": versions(),
            "clip": {"frames": FRAMES, "size": [WIDTH, HEIGHT], "mebibytes": round(long.stat().st_size / 2**20, 1)},
            "absent": absent,
            "seconds": speeds(long, readers),
            "exactness": exactness(cases, readers),
            "store": store_cost(Path(scratch) / "store"),
        }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
