"""Folders of training steps on disk: found in order, read with care, written by one process or by all together."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmreason.errors import UserError
from mmreason.run import processes

T = TypeVar("T")
Tensors = dict[str, torch.Tensor]
_STEP = re.compile(r"step_(\d{6})$")


def step_folders(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints of a stage in order of their step; a folder still being written has another name."""
    found = [(match, path) for path in folder.glob("step_*") if (match := _STEP.search(path.name))]
    return sorted((int(match.group(1)), path) for match, path in found)


def intact(read: Callable[[Path], T], file: Path) -> T:
    """What `read` makes of a file of a checkpoint; UserError where the file is missing or broken.

    Going on from the checkpoint before is left to the user: done silently, it would throw work away unseen.
    """
    try:
        return read(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"checkpoint file {file} is missing or broken ({error}): delete the folder {file.parent} to go on from the "
            f"checkpoint before it"
        ) from error


def read_state(file: Path) -> dict[str, Any]:
    """state.json of a checkpoint."""
    state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return state


def save_kept(folder: Path, tensors: Tensors | None) -> None:
    """Tensors of the flow, for example a moving average."""
    if tensors:
        save_file({name: t.detach().contiguous().clone() for name, t in tensors.items()}, folder / "kept.safetensors")


def load_kept(folder: Path) -> tuple[dict[str, Any], Tensors]:
    """What the flow kept in one checkpoint."""
    state, file = intact(read_state, folder / "state.json"), folder / "kept.safetensors"
    return dict(state.get("kept", {})), intact(load_file, file) if file.is_file() else {}


def drop_old(folder: Path) -> None:
    """Keep the last two checkpoints; folders half written by a process that was killed go too."""
    half_written = [path for path in folder.glob(".step_*.part") if path.is_dir()]
    for old in [*half_written, *(path for _, path in step_folders(folder)[:-2])]:
        shutil.rmtree(old)


@contextmanager
def replacing_together(target: Path) -> Iterator[Path]:
    """A folder into which all processes write; it becomes `target` when all have left the block."""
    beside = target.with_name(f".{target.name}.part")
    if processes.is_main():
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
    processes.barrier()
    yield beside
    processes.barrier()
    if processes.is_main():
        shutil.rmtree(target, ignore_errors=True)
        os.replace(beside, target)
    processes.barrier()
