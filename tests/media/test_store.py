"""Frames decoded once: over epochs, rules, processes and restarts, within a bound, whatever happens to the files."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmreason.errors import UserError
from mmreason.media.clips import open_clip
from mmreason.media.files import media_ref
from mmreason.media.store import MediaStore, default_folder, entry_key
from mmreason.models.visual import Visual
from mmreason.records import MediaRef

ROOT = Path(__file__).resolve().parents[2]
SIZE = 8192
"""Bytes of a value here; its entry has 132 more."""


def value_of(key: str) -> np.ndarray:
    return np.full(SIZE, int(key, 16) % 251, np.uint8)


def fill(store: MediaStore, keys: Sequence[str], group: str = "clip") -> list[int]:
    """Positions that had to be made; every value is checked."""
    made: list[int] = []

    def make(positions: list[int]) -> list[np.ndarray]:
        made.extend(positions)
        return [value_of(keys[position]) for position in positions]

    values = store.all_of(group, keys, make)
    assert all(np.array_equal(value, value_of(key)) for key, value in zip(keys, values, strict=True))
    return made


def keys_of(*numbers: int) -> list[str]:
    return [entry_key("test", number) for number in numbers]


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "entries").glob("*/*"))


def entry(store: MediaStore, key: str) -> Path:
    return store.folder / "entries" / key[:2] / key[2:]


def test_each_value_is_made_once(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    assert fill(store, keys_of(1, 2, 1, 3)) == [0, 1, 3]
    assert fill(store, keys_of(3, 4, 4, 2)) == [1]
    assert fill(MediaStore(tmp_path), keys_of(4, 3, 2, 1)) == []
    assert (store.counts.misses, store.counts.hits, store.counts.evictions) == (4, 2, 0)


def test_what_is_unused_for_longest_leaves_first(tmp_path: Path) -> None:
    store = MediaStore(tmp_path, limit=10 * (SIZE + 132))
    for number in range(10):
        fill(store, keys_of(number))
    assert store.counts.evictions == 0
    fill(store, keys_of(0))
    fill(store, keys_of(10))  # down to nine entries, of which this is one
    assert store.counts.evictions == 1
    assert fill(store, keys_of(0, 2, 3)) == []
    assert fill(store, keys_of(1)) == [0]


def test_the_bound_holds_whoever_writes(tmp_path: Path) -> None:
    """Two stores on one folder with less room than one call needs: values are right, nothing grows over the bound."""
    limit = 5 * (SIZE + 132)
    stores = [MediaStore(tmp_path, limit), MediaStore(tmp_path, limit)]

    def work(seed: int) -> int:
        draw = random.Random(seed)
        for _ in range(30):
            fill(stores[seed % 2], keys_of(*draw.choices(range(12), k=8)), group=f"clip {draw.randrange(3)}")
            with stores[seed % 2]._locked(tmp_path / "usage"):  # a folder that changes cannot be added up
                assert bytes_in(tmp_path) <= limit
        return seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [0, 1, 2, 3]
    assert sum(store.counts.evictions for store in stores) > 50


def test_a_value_above_the_bound_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MediaStore(tmp_path, limit=SIZE)
    assert fill(store, keys_of(1)) == fill(store, keys_of(1)) == [0]
    assert "above the limit" in caplog.text and bytes_in(tmp_path) == 0


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(SIZE + 132)),
    "another program's": lambda path: path.write_bytes(b"abc\x35\x24\x41\xc2"),  # right checksum of no array
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_and_mended(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    store, keys = MediaStore(tmp_path), keys_of(1, 2)
    fill(store, keys)
    DAMAGE[kind](entry(store, keys[1]))
    assert fill(store, keys) == [1]
    assert store.counts.damaged == 1 and "is damaged, it is made again" in caplog.text
    assert fill(store, keys) == []


def test_what_a_dead_writer_left_is_cleared(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    fill(store, keys_of(1))
    left = entry(store, keys_of(1)[0]).with_name(".other.part")
    left.write_bytes(b"half")
    (tmp_path / "usage").write_text("no number")
    assert fill(store, keys_of(1, 2)) == [1]
    assert not left.exists()
    assert int((tmp_path / "usage").read_text()) == bytes_in(tmp_path)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot make .*file.*; set MMREASON_CACHE"):
        fill(MediaStore(tmp_path / "file"), keys_of(1))
    monkeypatch.setenv("MMREASON_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own" / "media" == MediaStore().folder

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = MediaStore()
    assert not (tmp_path / "own").exists()  # runs without clips leave no folder
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"no space left for .*own.media: free some disk or set MMREASON_CACHE"):
        fill(store, keys_of(1))
    assert not list((store.folder / "entries").glob("*/*"))


RACE = """
import json, sys, time
from pathlib import Path
import numpy as np
from mmreason.media.store import MediaStore, entry_key
store, keys = MediaStore(Path(sys.argv[1])), [entry_key(number) for number in range(20)]
print(flush=True)
sys.stdin.readline()
def making(first):
    def make(positions):
        time.sleep(0.05)
        return [np.full(1000, first + position, np.uint8) for position in positions]
    return make
values = [store.all_of("clip", keys[first : first + 8], making(first)) for first in range(0, 20, 4)]
right = all(int(v[9]) == 4 * step + place for step, held in enumerate(values) for place, v in enumerate(held))
print(json.dumps([store.counts.misses, right]))
"""


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`process(script, *words)` starts Python on a script; what still runs at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *words: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", script, *map(str, words)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def test_processes_at_once_make_each_value_once(tmp_path: Path, process: Callable[..., subprocess.Popen[str]]) -> None:
    both = [process(RACE, tmp_path) for _ in range(2)]
    for one in both:
        assert one.stdout and one.stdout.readline() == "\n"  # loaded
    told = []
    for one in both:
        assert one.stdin
        one.stdin.write("\n")
        one.stdin.flush()
    for one in both:
        told.append(json.loads(one.communicate()[0]))
    assert [right for _, right in told] == [True, True]
    assert sum(misses for misses, _ in told) == 20


@pytest.fixture
def frames(tmp_path: Path) -> MediaRef:
    """A folder of 20 frames of 84 x 56 at 3 a second."""
    (tmp_path / "frames").mkdir()
    for number in range(1, 21):
        Image.effect_noise((84, 56), 60).convert("RGB").save(tmp_path / "frames" / f"{number:03d}.png")
    return media_ref(tmp_path, "frames", "video", fps=3.0)


def visual(root: Path, kept_bytes: int = 0) -> Visual:
    """With a store that sees only the disk, as after a restart."""
    images = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112)
    return Visual(images, root, kept_bytes, MediaStore(root / "store"))


def test_a_frame_is_decoded_once_over_rules_epochs_and_restarts(tmp_path: Path, frames: MediaRef) -> None:
    """uniform:6 takes 0 4 8 11 15 19; uniform:4 adds 6 and 13."""
    first = visual(tmp_path)
    for _ in range(2):
        first.medium(replace(frames, frame_rule="uniform:6"))
    assert (first.decodes, first.decoded_frames) == (1, 6)
    first.medium(replace(frames, frame_rule="uniform:4"))
    assert (first.decodes, first.decoded_frames) == (2, 8)
    again = visual(tmp_path)
    again.medium(replace(frames, frame_rule="uniform:4"))
    assert (again.decodes, again.decoded_frames) == (0, 0)
    again.medium(replace(frames, frame_rule="all"))
    assert (again.decodes, again.decoded_frames) == (1, 12)
    again.medium(replace(frames, frame_rule="all", max_pixels=28 * 28))  # another size is another content
    assert (again.decodes, again.decoded_frames) == (2, 32)
    again.medium(replace(frames, frame_rule="all", max_pixels=28 * 28 + 1))  # other bounds that give the same size
    assert (again.decodes, again.decoded_frames) == (2, 32)


def test_fixed_rules_decode_as_often_as_there_are_clips(tmp_path: Path, frames: MediaRef) -> None:
    seen = visual(tmp_path, 1 << 30)
    for _ in range(2):
        for start in (None, 1.0):
            seen.medium(replace(frames, frame_rule="fps:1,max=8", start=start))
    assert seen.decodes == 2
    assert visual(tmp_path).num_tokens(frames) > 0


def test_stored_frames_give_the_same_patches(tmp_path: Path, frames: MediaRef) -> None:
    ref = replace(frames, frame_rule="segments:5", max_pixels=28 * 56)
    plain = Visual(visual(tmp_path).images, tmp_path).medium(ref)
    made, kept = visual(tmp_path).medium(ref), visual(tmp_path).medium(ref)
    assert torch.equal(plain.pixels, made.pixels) and torch.equal(made.pixels, kept.pixels)
    assert plain.key == made.key == kept.key and plain.stamps == kept.stamps


RESTART = """
import json, sys
from pathlib import Path
from mmreason.media import guard
from mmreason.media.clips import open_clip
from mmreason.media.store import MediaStore
from mmreason.records import MediaRef
root, store = Path(sys.argv[1]), MediaStore(Path(sys.argv[1]) / "store")
clip = open_clip(root, MediaRef(sys.argv[2], "video", "clip.mp4", tokens=0, frame_rule="segments:8"), store)
print(json.dumps([clip.info.frames, clip.info.fps, list(clip.chosen.indices), len(guard._idle)]))
"""


def test_a_files_times_are_found_once(
    tmp_path: Path, clip: Callable[..., Path], process: Callable[..., subprocess.Popen[str]]
) -> None:
    """A second process learns them from the store and starts no reader; the extension still counts."""
    path, store = clip("clip.mp4", 40), MediaStore(tmp_path / "store")
    ref = replace(media_ref(tmp_path, "clip.mp4", "video"), frame_rule="segments:8")
    opened = open_clip(tmp_path, ref, store)
    again = open_clip(tmp_path, ref, store)
    assert np.array_equal(opened.info.times, again.info.times) and opened.chosen == again.chosen
    assert (again.info.width, again.info.height, again.info.duration) == (192, 48, 1.6)
    told = json.loads(process(RESTART, tmp_path, ref.sha256).communicate()[0])
    assert told == [40, 25.0, list(opened.chosen.indices), 0]
    (tmp_path / "clip.avi").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"its extension says \.avi"):
        open_clip(tmp_path, replace(ref, path="clip.avi"), store)
