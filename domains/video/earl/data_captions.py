"""Rows that teach a tiny model to see: frames of a scene, chosen to show much, and each of them in words.

Ours, for the embedded default alone: a model trained from scratch must learn colours and shapes somewhere, while a
pretrained one sees already. Their kind is free text, so that they enter the cold start and never RL.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

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
    stream: Iterable[Sample | Drop], context: StepContext, rows: int = 1, dense: float = 0.5
) -> Iterator[Sample | Drop]:
    """Data step: in place of each scene's question `rows` rows over other frames of it, as many as the grid has.

    A share `dense` of a row's frames shows a shape; the one asked about is among them, so that the answer is seen.
    """
    if rows < 1 or not 0 < dense <= 1:
        raise UserError(f"captions: rows is {rows}, dense {dense:g}; expected 1 or more, and a share above 0")
    options = dict(context.recipe.options.get("earl", {}))
    count = settings.of({"earl": options}).grid
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        for number in range(rows):
            rng = random.Random(f"{item.id}:captions{number}")
            yield _row(item, number, _telling(item, count, dense, rng)).with_meta(earl=options)


def _row(sample: Sample, number: int, frames: tuple[int, ...]) -> Sample:
    """The question for the shape over these frames of the clip."""
    clip = replace(sample.media[0], frame_rule=str(FrameRule(Kind.AT, frames=frames)))
    question = scenes.QUESTIONS["what"].format(colour=sample.metadata["colour"])
    made = replace(
        sample,
        id=f"{sample.id}-captions{number}",
        messages=(Message.about(question, (clip,)),),
        answer=Answer(AnswerKind.FREE, sample.metadata["shape"]),
        media=(clip,),
        evidence={},
    )
    return made.with_meta(family=FAMILY, question=question, twin_of=sample.id, shown=list(frames))


def thought(row: Sample) -> str:
    """What the frames of a row show, one by one, and what follows."""
    frames = row.metadata["shown"]
    return f"{sights.scan(row, frames)} {sights.look(row.with_meta(family='what'), frames).words}"


def _telling(sample: Sample, count: int, dense: float, rng: random.Random) -> tuple[int, ...]:
    """`count` frames in order: one with the shape asked about, others with a shape, borders alone, and nothing."""
    seen = {frame: scenes.describe(sample, frame) for frame in range(sample.metadata["frames"])}
    own = [frame for frame, one in seen.items() if sights.shows_asked(sample, one)]
    taken = {rng.choice(own)}
    telling = round(count * dense)
    kinds = (
        ([frame for frame, one in seen.items() if one.shape != scenes.NONE], telling),
        ([frame for frame, one in seen.items() if one.shape == scenes.NONE != one.colour], (telling + 2 * count) // 3),
        ([frame for frame, one in seen.items() if one.colour == scenes.NONE], count),
        (list(seen), count),
    )
    for frames, most in kinds:
        free = [frame for frame in frames if frame not in taken]
        taken |= set(rng.sample(free, min(len(free), max(0, most - len(taken)))))
    return tuple(sorted(taken))
