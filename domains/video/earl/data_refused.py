"""Rows whose tool is switched off: the call is answered by the demand for the answer.

Ours, for the embedded default alone: a model drawn at random heeds no demand that it never saw, and could then not be
asked what it knows without its tool. Their kind is free text, so that they enter the cold start and never RL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mmreason.data.step import Drop, StepContext
from mmreason.records import Answer, AnswerKind, Sample


def refused(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step, after gold frames: in place of each question itself without the tool."""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        made = replace(item, id=f"{item.id}-refused", answer=Answer(AnswerKind.FREE, item.answer.gold))
        yield made.with_meta(tool_off=True, twin_of=item.id)
