"""Scenes with gold frames, and contexts of data steps, for the tests of EARL's data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.config import Domain, load_domain
from mmreason.data.sources import read_source
from mmreason.data.step import StepContext
from mmreason.project import load_module, project_dir
from mmreason.records import Sample

VIDEO = project_dir() / "domains" / "video"
EARL = VIDEO / "earl"
gold = load_module(EARL / "gold.py")
making = load_module(Path(__file__).parents[1] / "data" / "making.py")
chat_server = load_module(Path(__file__).parents[1] / "data" / "chat_server.py")
SMALL = {"grid": 16, "refined": 8}
"""A grid of 16 over 256 frames: one frame in 16, and eight of a zoom one in four."""


def domain() -> Domain:
    return load_domain(VIDEO)


def context(work: Path, data: Path | None = None, earl: dict[str, Any] | None = None, **options: Any) -> StepContext:
    recipe = making.recipe(None).model_copy(update={"options": {"earl": SMALL if earl is None else earl, **options}})
    return StepContext(recipe, domain(), data, work)


def scenes(work: Path, clips: int, family: str = "what", *, drawn: bool = False, **options: Any) -> list[Sample]:
    """Scenes of one family with gold frames. `drawn`: with their files under `work`/made, else by name alone."""
    asked = {"clips": clips, "families": {family: 1.0}, **options}
    found = read_source(domain(), "scenes", "train", None, asked, 0, work / "made", need_media=drawn)
    return list(gold.from_moments(found, context(work)))


def only(items: Iterator[Any]) -> Any:
    (item,) = items
    return item


def at(sample: Sample, **evidence: Any) -> Sample:
    return replace(sample, evidence=evidence)
