"""Rows that teach a tiny model to see: a scene's clip, and each of its frames in words.

Ours, for the embedded default alone: a model trained from scratch must learn colours and shapes somewhere, while a
pretrained one sees already. Their kind is free text, so that they enter the cold start and never RL.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.media.choosing import choose
from mmreason.media.frame_rules import FrameRule
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample

scenes = load_module(Path(__file__).parent.parent / "scenes.py")
settings = load_module(Path(__file__).parent / "settings.py")
tables = load_module(Path(__file__).parent / "data_table.py")

FAMILY = "captions"
QUESTION = "describe each frame ."
THOUGHT = "look ."


def captions(
    stream: Iterable[Sample | Drop], context: StepContext, near: float = 0.5, reach: float = 1.0
) -> Iterator[Sample | Drop]:
    """Data step: in place of each scene's question one about all its frames.

    A share `near` of the rows shows, in as many frames, only an event and `reach` seconds on both sides of it: there
    shapes are seen, which the grid mostly misses.
    """
    if not 0 <= near <= 1 or reach < 0:
        raise UserError(f"captions: near is {near:g}, reach {reach:g}; expected a share and seconds from 0 up")
    options = dict(context.recipe.options.get("earl", {}))
    for item in stream:
        yield item if isinstance(item, Drop) else _captioned(item, options, near, reach)


def _captioned(sample: Sample, options: dict[str, Any], near: float, reach: float) -> Sample:
    clip = _near_event(sample, reach) if random.Random(f"{sample.id}:near").random() < near else sample.media[0]
    rule = FrameRule.parse(f"centres:{settings.of({'earl': options}).grid}")
    frames = choose(rule, tables.clip_info(sample), clip.start, clip.end, once=True).indices
    made = replace(
        sample,
        id=f"{sample.id}-captions",
        messages=(Message.about(QUESTION, (clip,)),),
        answer=Answer(AnswerKind.FREE, " , ".join(f"{at} {words(sample, one)}" for at, one in enumerate(frames, 1))),
        media=(clip,),
        evidence={},
    )
    return made.with_meta(family=FAMILY, question=QUESTION, twin_of=sample.id, earl=options)


def words(sample: Sample, frame: int) -> str:
    """Border and shape of a frame of the clip: "red circle", "red", or "none"."""
    seen = scenes.describe(sample, frame)
    return " ".join(word for word in (seen.colour, seen.shape) if word != scenes.NONE) or "none"


def _near_event(sample: Sample, reach: float) -> MediaRef:
    event = random.Random(f"{sample.id}:event").choice(sample.metadata["events"])
    fps, end = sample.metadata["fps"], sample.metadata["duration"]
    first, last = event["first"] / fps - reach, (event["first"] + event["length"] - 1) / fps + reach
    return replace(sample.media[0], start=max(0.0, first), end=min(last, end))
