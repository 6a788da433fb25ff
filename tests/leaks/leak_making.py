"""Own rows with pictures on disk, and pictures that are smooth enough to survive re-encoding."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmreason.leaks.media import RowSet
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source


def scene(seed: int, size: tuple[int, int] = (320, 240), coloured: bool = True) -> Image.Image:
    """A picture with structure at several scales, unlike that of another seed."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells in (4, 8, 16):
        noise = rng.integers(0, 256, (cells, cells, 3 if coloured else 1)).astype(np.uint8)
        grown = Image.fromarray(np.broadcast_to(noise, (cells, cells, 3)).copy()).resize(size, Image.Resampling.BICUBIC)
        total += np.asarray(grown, dtype=float)
    return Image.fromarray((total / 3).astype(np.uint8))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)


def cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))


def row(
    id: str,
    question: str,
    gold: str,
    *pictures: str,
    kind: AnswerKind = AnswerKind.FREE,
    media: str = "image",
    document: str = "",
    **answer: Any,
) -> Sample:
    shown = tuple(MediaRef("", media, name, tokens=0) for name in pictures)
    text = Message.about(question, shown) if shown else Message.of(Role.USER, question)
    source = Source("made", "train", "CC0", id, document)
    return Sample(id, source, (text,), Answer(kind, gold, **answer), shown, metadata={"question": question})


def rows(name: str, root: Path, *samples: Sample) -> RowSet:
    return RowSet(name, list(samples), root)


def write_rows(path: Path, values: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path
