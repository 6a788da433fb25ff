"""What somebody who looks at some frames of a scene can say about its question, and no more than that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmreason.project import load_module
from mmreason.records import Sample

scenes = load_module(Path(__file__).parent.parent / "scenes.py")

NOTHING = "no shape ."
HERE = "here"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the frames show of what was asked."""

    words: str
    """Few words from a small vocabulary; frames by their number among those shown, from 1."""
    answer: str | None
    """What follows for the question; None where the frames do not show it."""


def asked_for(sample: Sample) -> str:
    """What to look for, as a thought."""
    return f"find {' and '.join(_colours(sample))} ."


def told(sample: Sample, frame: int) -> str:
    """Border and shape of a frame of the clip: "red circle", "red", or "none"."""
    seen = scenes.describe(sample, frame)
    return " ".join(word for word in (seen.colour, seen.shape) if word != scenes.NONE) or "none"


def scan(sample: Sample, frames: Sequence[int]) -> str:
    """These frames one by one behind their number and the colour asked for, those marked that show it, then their
    numbers again: "1 red none 2 red red here 2 3 red red circle here 3 4 red blue . here 2 3 .".

    With both colours side by side a tiny model learns to compare them in a hundred steps, otherwise not in minutes.
    """
    places = cue_at(sample, frames)
    marks = {place: f" {HERE} {place + 1}" for place in places}
    asked = " ".join(_colours(sample))
    entries = [f"{place + 1} {asked} {told(sample, frame)}{marks.get(place, '')}" for place, frame in enumerate(frames)]
    return f"{' '.join(entries)} . {HERE} {_numbers(places) or scenes.NONE} ."


def look(sample: Sample, frames: Sequence[int]) -> Sight:
    """What these frames of the clip, in this order, show. Families without a rule here show nothing."""
    seen = [scenes.describe(sample, frame) for frame in frames]
    return _RULES.get(sample.metadata["family"], _none)(sample, frames, seen)


def cue_at(sample: Sample, frames: Sequence[int]) -> list[int]:
    """Places of the frames that show a border which the question names."""
    colours = _colours(sample)
    return [place for place, frame in enumerate(frames) if scenes.describe(sample, frame).colour in colours]


def dense(sample: Sample, frames: Sequence[int]) -> bool:
    """Whether no flash can hide between these frames while the border asked about is seen."""
    cue = next(event for event in sample.metadata["events"] if event["colour"] == sample.metadata["colour"])
    first, end = cue["first"], cue["first"] + cue["length"]
    inside = [first - 1, *(frame for frame in frames if first <= frame < end), end]
    return all(after - before <= sample.metadata["flash"] for before, after in pairwise(inside))


def _colours(sample: Sample) -> list[str]:
    """Colours that the question names, in its order."""
    named = {event["colour"] for event in sample.metadata["events"]}
    return [word for word in sample.metadata["question"].split() if word in named]


def _none(sample: Sample, frames: Sequence[int], seen: Sequence[Any]) -> Sight:
    return Sight(NOTHING, None)


def shows_asked(sample: Sample, seen: Any) -> bool:
    """Whether what a frame shows is the shape under the border asked about."""
    return bool(seen.colour == sample.metadata["colour"] and seen.shape != scenes.NONE)


def _flashing(sample: Sample, seen: Sequence[Any]) -> list[int]:
    return [place for place, one in enumerate(seen) if shows_asked(sample, one)]


def _numbers(places: Sequence[int]) -> str:
    return " ".join(str(place + 1) for place in places)


def _what(sample: Sample, frames: Sequence[int], seen: Sequence[Any]) -> Sight:
    places = _flashing(sample, seen)
    if not places:
        return Sight(NOTHING, None)
    shape = seen[places[0]].shape
    return Sight(f"{sample.metadata['colour']} {shape} {_numbers(places)} .", shape)


def _count(sample: Sample, frames: Sequence[int], seen: Sequence[Any]) -> Sight:
    """Flashes are counted as runs of frames with the shape, and only where none can hide between two frames."""
    places = _flashing(sample, seen)
    runs = sum(1 for place in places if place - 1 not in places)
    words = f"{sample.metadata['shape']} {_numbers(places)} ." if places else NOTHING
    return Sight(words, str(runs) if runs and dense(sample, frames) else None)


def _direction(sample: Sample, frames: Sequence[int], seen: Sequence[Any]) -> Sight:
    """From the first to the last place of the shape; one place tells nothing."""
    places = _flashing(sample, seen)
    if not places:
        return Sight(NOTHING, None)
    steps = [last - first for first, last in zip(seen[places[0]].place, seen[places[-1]].place, strict=True)]
    if not any(steps):
        return Sight(f"{sample.metadata['shape']} {_numbers(places)} .", None)
    along = max((0, 1), key=lambda axis: abs(steps[axis]))
    names = (("left", "right"), ("up", "down"))[along]
    origin, goal = names if steps[along] > 0 else names[::-1]
    return Sight(f"{sample.metadata['shape']} {origin} {places[0] + 1} {goal} {places[-1] + 1} .", goal)


def _order(sample: Sample, frames: Sequence[int], seen: Sequence[Any]) -> Sight:
    """The border that is seen first, where both are seen."""
    colours = [one.colour for one in seen]
    firsts = {colour: colours.index(colour) for colour in _colours(sample) if colour in colours}
    words = " ".join(f"{colour} {place + 1}" for colour, place in sorted(firsts.items(), key=lambda item: item[1]))
    if len(firsts) < 2:
        return Sight(f"{words} ." if words else "no border .", None)
    return Sight(f"{words} .", min(firsts, key=firsts.__getitem__))


_RULES = {"what": _what, "grounded": _what, "count": _count, "direction": _direction, "order": _order}
FAMILIES = frozenset(_RULES)
"""Families of questions that can be looked up so; the others ask for times."""
