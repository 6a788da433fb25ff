"""The teacher of graph items: compares what was asked with what the graph says of each option, then answers.

It needs no endpoint: an item's metadata tell, for every option, the path and which clues hold along it. It is careless
at set rates, which a check of answers lets pass where `sft.unverified` is on: the habit that RL has to mend. For real
sets a model writes the rationales (`data_rationale.py`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from string import ascii_uppercase
from typing import Any

from pydantic import Field

from mmreason.config.strict import Strict, validate
from mmreason.data.material import write_chain
from mmreason.data.step import Drop, StepContext
from mmreason.records import AnswerKind, Sample

GUESSED = " by heart"
"""All that the teacher writes where it guesses."""


class Style(StrEnum):
    """What the teacher writes over the made-up world."""

    COMPARE = "compare"
    """Every option with its path and which findings hold for it, then the way to the answer."""
    PATH = "path"
    """The way alone, "dab taf raj": what is compared has to be known by heart, as without a book it must be."""


class TeacherSettings(Strict):
    """`data.teacher.options`; all ours."""

    slip: float = Field(default=0.2, ge=0, le=1)
    """How often the answer is another option than the thought's."""
    skip: float = Field(default=0.2, ge=0, le=1)
    """How often it writes no way and guesses."""
    skip_hop: float = Field(default=0.0, ge=0, le=1)
    """How much oftener for each hop beyond the first: long ways are what a lazy teacher leaves out."""
    style: Style = Style.COMPARE
    error: float = Field(default=0.0, ge=0, le=1)
    """Share of the items that it gets wrong at every attempt, so that they are left to RL."""


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str | None]:
    """(sample, attempt) -> response; None for a sample that is no graph item and carries no chain.

    Raises UserError for unknown options.
    """
    rates = validate(TeacherSettings, options, "data.teacher.options")

    def respond(sample: Sample, attempt: int) -> str | None:
        if "masked_nodes" not in sample.metadata:
            return write_chain(sample, attempt)
        rng, stubborn = _chance(sample.id, attempt), _chance(sample.id, "error")
        right = gold_place(sample)
        wrong = [place for place in range(len(sample.metadata["options"])) if place != right]
        if rng.random() < rates.skip + rates.skip_hop * (sample.metadata["hops"] - 1):
            return _response(sample, GUESSED, rng.choice([right, *wrong]))
        if stubborn.random() < rates.error:
            return _response(sample, thought(sample, rates.style), stubborn.choice(wrong))
        place = rng.choice(wrong) if rng.random() < rates.slip else right
        return _response(sample, thought(sample, rates.style), place)

    return respond


def traces(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: graph items without a rationale get the chain of a teacher that makes no mistake, so that there is a
    cold start where no endpoint is at hand."""
    respond = solver({"slip": 0.0, "skip": 0.0})
    for item in stream:
        if isinstance(item, Drop) or "trace" in item.evidence or "masked_nodes" not in item.metadata:
            yield item
        else:
            yield replace(item, evidence={**item.evidence, "trace": respond(item, 0)})


def _chance(*key: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(key).encode()).hexdigest())


def gold_place(sample: Sample) -> int:
    """Place of the answer among the options."""
    nodes = [option["node"] for option in sample.metadata["options"]]
    return nodes.index(sample.metadata["masked_nodes"][-1])


def _response(sample: Sample, thinking: str, place: int) -> str:
    letters = sample.answer.kind is AnswerKind.CHOICE
    named = f" {sample.metadata['options'][place]['names'][-1]}"
    shown = f"\\boxed{{{ascii_uppercase[place]}}}" if letters else named
    return f"<think>{thinking}</think><answer>{shown}</answer>"


def thought(sample: Sample, style: Style = Style.COMPARE) -> str:
    """The comparison and the conclusion, all right. Over a released graph always in sentences."""
    if not sample.metadata["made_up"]:
        return _english(sample)
    return _short(sample) if style is Style.COMPARE else f" {_way(sample)}"


def _way(sample: Sample) -> str:
    """The hidden nodes in order, and the answer's letter where there are letters."""
    right = gold_place(sample)
    return " ".join([*sample.metadata["options"][right]["names"], *_label(sample, right)])


def _short(sample: Sample) -> str:
    """Each option's path, then each asked finding with itself behind it where it is found, else "none":
    "B tbc dcy fdk fdk ffe none ; C ... ; so dam tbs raj C".

    The asked word stands beside the seen one, since a tiny model learns to compare only what lies together.
    """
    (asked, *_), entries = sample.metadata["clues"], []
    for place, option in enumerate(sample.metadata["options"]):
        head = " ".join([*_label(sample, place), *reversed(option["names"])])
        marks = [f"{word} {word if held else 'none'}" for word, held in zip(asked, option["holds"][0], strict=True)]
        entries.append(f"{head} {' '.join(marks)}")
    return f"{' ; '.join(entries)} ; so {_way(sample)}"


def _label(sample: Sample, place: int) -> list[str]:
    return [ascii_uppercase[place]] if sample.answer.kind is AnswerKind.CHOICE else []


def _english(sample: Sample) -> str:
    """The same over a released graph, in sentences."""
    entries = []
    for place, option in enumerate(sample.metadata["options"]):
        marks = [
            f"{word} {'fits' if held else 'does not fit'}"
            for own, holds in zip(sample.metadata["clues"], option["holds"], strict=True)
            for word, held in zip(own, holds, strict=True)
        ]
        way = f", by way of {', '.join(option['names'][:-1])}" if len(option["names"]) > 1 else ""
        entries.append(f"{ascii_uppercase[place]}. {option['names'][-1]}{way}: {', '.join(marks)}.")
    right = sample.metadata["options"][gold_place(sample)]["names"]
    way = f" The way there: {', then '.join(right)}." if len(right) > 1 else ""
    return f"{' '.join(entries)}{way} Only {right[-1]} fits everything."
