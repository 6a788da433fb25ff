"""Rows that teach a tiny model to see: frames of a scene, chosen to show much, and each of them in words.

Ours, for the embedded default alone: a model trained from scratch must learn colours and shapes somewhere, while a
pretrained one sees already. Their kind is free text, so that they enter the cold start and never RL.

A share of the rows shows the frames after the question, right before the answer, where an environment's reply stands.
Without them a tiny model finds a frame by its distance, reads the grid without a fault and what a call brings not at
all (measured: 2 of 100 shapes after 300 steps).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.frame_rules import FrameRule, Kind
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Sample

scenes = load_module(Path(__file__).parent.parent / "scenes.py")
settings = load_module(Path(__file__).parent / "settings.py")
sights = load_module(Path(__file__).parent / "data_sights.py")

FAMILY = "captions"


def captions(
    stream: Iterable[Sample | Drop], context: StepContext, rows: int = 1, dense: float = 0.5, last: float = 0.5
) -> Iterator[Sample | Drop]:
    """Data step: in place of each scene's question `rows` rows over other frames of it, as many as the grid has.

    A share `dense` of a row's frames shows a shape; the one asked about is among them, so that the answer is seen. In
    a share `last` of the rows the frames stand after the question.
    """
    if rows < 1 or not 0 < dense <= 1 or not 0 <= last <= 1:
        raise UserError(
            f"captions: rows is {rows}, dense {dense:g}, last {last:g}; expected 1 or more, a share above 0 and a share"
        )
    options = dict(context.recipe.options.get("earl", {}))
    count = settings.of({"earl": options}).grid
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        for number in range(rows):
            rng = random.Random(f"{item.id}:captions{number}")
            frames = _telling(item, count, dense, rng)
            yield _row(item, number, frames, rng.random() < last).with_meta(earl=options)


def _row(sample: Sample, number: int, frames: tuple[int, ...], last: bool) -> Sample:
    """The question for the shape over these frames of the clip."""
    clip = replace(sample.media[0], frame_rule=str(FrameRule(Kind.AT, frames=frames)))
    question = scenes.QUESTIONS["what"].format(colour=sample.metadata["colour"])
    made = replace(
        sample,
        id=f"{sample.id}-captions{number}",
        messages=(Message.about(f"{question}<image 1>" if last else question, (clip,)),),
        answer=Answer(AnswerKind.FREE, sample.metadata["shape"]),
        media=(clip,),
        evidence={},
    )
    facts: dict[str, Any] = {"inline_images": True} if last else {}
    return made.with_meta(family=FAMILY, question=question, twin_of=sample.id, shown=list(frames), **facts)


def thought(row: Sample) -> str:
    """What the frames of a row show, one by one."""
    return str(sights.scan(row, row.metadata["shown"]))


def _telling(sample: Sample, count: int, dense: float, rng: random.Random) -> tuple[int, ...]:
    """`count` frames in order: one with the shape asked about, others with a shape, borders alone, and nothing."""
    seen = {frame: scenes.describe(sample, frame) for frame in range(sample.metadata["frames"])}
    own = [frame for frame, one in seen.items() if sights.shows_asked(sample, one)]
    taken = {rng.choice(own)}
    kinds = (
        ([frame for frame, one in seen.items() if one.shape != scenes.NONE], round(count * dense)),
        ([frame for frame, one in seen.items() if one.shape == scenes.NONE != one.colour], count - count // 6),
        (list(seen), count),
    )
    for frames, most in kinds:
        free = [frame for frame in frames if frame not in taken]
        taken |= set(rng.sample(free, min(len(free), max(0, most - len(taken)))))
    return tuple(sorted(taken))
