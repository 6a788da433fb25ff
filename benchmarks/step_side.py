"""What both sides of `grpo_step_trl.py` share: the task, the counts, and the line to the process that asks.

A side waits for the word, takes a step, answers with its seconds; once more, until the end. Both ban the same ids from
sampling: visual placeholders, and the end of turn, so that every answer has 64 tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import torch

from mmreason.media.files import media_ref
from mmreason.models.codec import Codec
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

GROUP, LENGTH, SIDE = 8, 64, 448
RATE, CLIP = 1e-5, 0.2


def task_of(folder: Path) -> tuple[str, list[Path]]:
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    return task["text"], [folder / f"{index}.png" for index in range(task["images"])]


def sample_of(folder: Path) -> Sample:
    text, pictures = task_of(folder)
    message = Message.of(Role.USER, text, images=len(pictures))
    media = tuple(media_ref(folder, path.name) for path in pictures)
    return Sample("s", Source("own", "train", "Apache-2.0", "0"), (message,), Answer(AnswerKind.NUMBER, "1"), media)


def reward_of(text: str) -> float:
    """Anything that differs between random texts: the share of distinct characters."""
    return len(set(text)) / LENGTH


def digest(ids: list[int]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


class Tower:
    """Counts what goes through the vision tower."""

    def __init__(self, model: Any) -> None:
        self.calls = self.pictures = 0
        model.model.visual.register_forward_hook(self._count, with_kwargs=True)

    def _count(self, module: object, args: object, kwargs: dict[str, Any], made: object) -> None:
        self.calls += 1
        self.pictures += len(kwargs["grid_thw"])

    def take(self) -> dict[str, int]:
        """Counts since the last call."""
        found = {"tower_calls": self.calls, "pictures": self.pictures}
        self.calls = self.pictures = 0
        return found


class Line:
    """The way to the asking process; whatever libraries print goes to stderr instead."""

    def __init__(self) -> None:
        self.out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def tell(self, facts: dict[str, Any]) -> None:
        self.out.write(json.dumps(facts) + "\n")
        self.out.flush()

    def wait(self) -> bool:
        """Until the next word; whether it asks for a step."""
        return sys.stdin.readline().strip() == "step"


def tower_seconds(model: Any, codec: Codec, sample: Sample, copies: int) -> float:
    """The tower alone over `copies` of the pictures: one forward for sampling, forward and backward for the update."""
    media = codec.encode(sample).media * copies
    grids = torch.tensor([medium.grid for medium in media])
    pixels = torch.cat([medium.pixels for medium in media])
    found = []
    for _ in range(6):
        begun = time.perf_counter()
        with torch.no_grad():
            model.model.visual(pixels, grid_thw=grids)
        model.model.visual(pixels, grid_thw=grids).pooler_output.sum().backward()
        found.append(time.perf_counter() - begun)
    return round(median(found[1:]), 4)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def facts_of(model: Any, *packages: str) -> dict[str, Any]:
    """Size of the model and versions of what runs it."""
    versions = {name: version(name) for name in packages}
    return {"parameters": sum(weight.numel() for weight in model.parameters()), "versions": versions}


def given() -> tuple[Line, Path]:
    """The line and the folder named on the command line; threads as the environment says."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    return Line(), Path(sys.argv[1])
