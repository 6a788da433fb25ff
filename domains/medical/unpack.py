"""Take the pictures out of released files that hold them inside, so that the readers find them beside the annotation.

PneumoniaMNIST's reader does so by itself (`unpacked`), into the cache folder; for the others once by hand:

    python domains/medical/unpack.py FILE FOLDER

A table (.tsv) with a column `image` of base64 text gives FOLDER/<index>.jpg; a NumPy file (.npz) gives
FOLDER/<split>-<number>.png; a Parquet file gives FOLDER/<row or id>[_<k>].png, and beside it the other
columns as FILE.jsonl, with the pictures' names in their columns.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from mmreason.errors import UserError
from mmreason.media.files import UNPACKED, unpacked_root
from mmreason.project import load_module
from mmreason.run.files import file_sha256, is_disk_full

parts = load_module(Path(__file__).parent / "vqa_parts.py")


def _table(path: Path, folder: Path) -> Iterator[Path]:
    for row in parts.table_rows(path):
        target = folder / f"{row.need('index', str)}.jpg"
        picture = Image.open(io.BytesIO(base64.b64decode(row.need("image", str))))
        picture.convert("RGB").save(target)
        yield target


def _arrays(path: Path, folder: Path) -> Iterator[Path]:
    held = np.load(path)
    for name in (name for name in held.files if name.endswith("_images")):
        for number, pixels in enumerate(held[name]):
            target = folder / f"{name.removesuffix('_images')}-{number:04d}.png"
            Image.fromarray(pixels).save(target)
            yield target


def _is_picture(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("bytes"), bytes)


def _records(path: Path, folder: Path) -> Iterator[Path]:
    with path.with_suffix(".jsonl").open("w", encoding="utf-8") as out:
        for number, row in enumerate(pq.read_table(path).to_pylist()):
            name = str(row.get("id", f"{path.stem}-{number:05d}"))
            for key in [key for key, value in row.items() if _is_picture(value)]:
                target = folder / f"{name}{key.removeprefix('image')}.png"
                Image.open(io.BytesIO(row[key]["bytes"])).convert("RGB").save(target)
                row[key] = f"{folder.name}/{target.name}"
                yield target
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


KINDS = {".tsv": _table, ".npz": _arrays, ".parquet": _records}


def unpack(path: Path, folder: Path) -> int:
    """Write the pictures of one file into `folder`; how many. Raises UserError for a file of another kind."""
    if path.suffix not in KINDS:
        raise UserError(
            f"{path}: cannot unpack {path.suffix or 'a file without extension'!r}; one of {', '.join(KINDS)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return sum(1 for _ in KINDS[path.suffix](path, folder))


def unpacked(path: Path) -> str:
    """Media path of a folder with the pictures of one file, which are taken out on first use.

    It lies under `unpacked_root` and is named by the file's content, so that the data folder may be read-only and
    another release never meets old pictures. Raises UserError where the cache folder cannot be written.
    """
    name = file_sha256(path)[:16]
    folder = unpacked_root() / name
    if not folder.is_dir():
        try:
            _fill(path, folder)
        except OSError as error:
            full = " (the disk is full)" if is_disk_full(error) else ""
            raise UserError(f"cannot unpack {path} to {folder}: {error}{full}; set MMREASON_CACHE") from None
    return f"{UNPACKED}{name}"


def _fill(path: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        unpack(path, beside)
        if not folder.is_dir():  # another process may have been first
            os.rename(beside, folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(unpack(Path(sys.argv[1]), Path(sys.argv[2])), "pictures")
