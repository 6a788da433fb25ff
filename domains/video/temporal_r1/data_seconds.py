"""Rows that teach a tiny model to see: every second of a made-up clip in words.

Ours, for the embedded default alone: a model drawn at random must learn colours and shapes somewhere, while a
pretrained one sees already. Their kind is free text, so that they enter the warm start and never RL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mmreason.data.step import Drop, StepContext
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Sample

scenes = load_module(Path(__file__).parents[1] / "scenes.py")

FAMILY = "seconds"
QUESTION = "what is seen each second ?"


def seconds(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: in place of each question about a scene the request to tell what is seen."""
    for item in stream:
        yield item if isinstance(item, Drop) else _row(item)


def _row(sample: Sample) -> Sample:
    colours = " ".join(event["colour"] for event in sample.metadata["events"])
    made = replace(
        sample,
        id=f"{sample.id}-seconds",
        messages=(Message.about(QUESTION, sample.media),),
        answer=Answer(AnswerKind.FREE, colours),
        evidence={},
    )
    return made.with_meta(family=FAMILY, question=QUESTION, twin_of=sample.id)


def told(sample: Sample) -> str:
    """Each frame behind its second as the caption writes it: "00 none 01 red 02 red circle ..."."""
    frames = range(sample.metadata["frames"])
    return " ".join(f"{round(frame / sample.metadata['fps']):02d} {_words(sample, frame)}" for frame in frames)


def _words(sample: Sample, frame: int) -> str:
    seen = scenes.describe(sample, frame)
    return " ".join(word for word in (seen.colour, seen.shape) if word != scenes.NONE) or scenes.NONE
