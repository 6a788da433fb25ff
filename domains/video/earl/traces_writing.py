"""How a trace about a made-up scene is written: what it looks at, and what it says it sees.

What a turn says it sees is what the frames that the environment brings back show; what goes wrong is where it looks.

After a selection the grid can no longer be named. A trace that looked at the wrong frame therefore goes on from what
that brought: its second selection reaches back to the event over the border of those frames. Where no second selection
can, its first call is a failed one (a frame that is not there), which the environment lets it mend on the grid.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from mmreason.config.strict import Strict
from mmreason.project import load_module
from mmreason.records import Sample

_HERE = Path(__file__).parent
calls = load_module(_HERE / "calls.py")
environment = load_module(_HERE / "environment.py")
sights = load_module(_HERE / "data_sights.py")
tables = load_module(_HERE / "data_table.py")

AGAIN = "again ."
"""Thought after a call that failed."""

Places = tuple[int, ...]
"""Frames by their place among those shown, from 0, ascending."""
Turns = list[str]


class Family(StrEnum):
    """Kinds of traces."""

    ONE = "one"
    """One selection, then the answer."""
    TWO = "two"
    """A coarse selection that shows the cue and not the answer, a fine one within it, the answer."""
    AGAIN = "again"
    """A selection that shows nothing, or fails, and a second one that does."""
    AT_ONCE = "at_once"
    """No call: the grid shows the answer."""


class TraceOptions(Strict):
    """Options of the teacher (`data.teacher.options`)."""

    shares: dict[Family, float] = Field(
        default={Family.ONE: 0.5, Family.TWO: 0.25, Family.AGAIN: 0.15, Family.AT_ONCE: 0.1}
    )
    """Of the families [reconstructed after Pixel Reasoner's templates].
    A family that a sample does not allow gives its place to the next of one, two, again; at_once is drawn the more
    often among samples that allow it."""
    wrong_frame: float = Field(0.4, ge=0, le=1)
    """How often a trace of one selection looks at another frame, or one of two skips the fine one [reconstructed:
    leaves the right frame to about half of all traces]."""
    junk: float = Field(0.25, ge=0, le=1)
    """How often one to three further frames are selected beside the right one, which makes the zoom coarser."""
    hasty: float = Field(0.05, ge=0, le=1)
    """How often the answer is given without a look that was needed."""
    scan: bool = False
    """Thoughts tell what each frame shows, in order (`sights.scan`), before the few words that matter. A tiny model
    drawn at random learns to read one frame after the other long before it learns to find the one that counts."""
    names: bool = False
    """The first thought also says in which frames of the grid the border is seen; else it says what to look for."""
    seed: int = 0

    @field_validator("shares")
    @classmethod
    def _some(cls, shares: dict[Family, float]) -> dict[Family, float]:
        if min(shares.values(), default=0) < 0 or not sum(shares.values()) > 0:
            raise ValueError("shares are numbers from 0 up, at least one of them above 0")
        return shares


class Writer:
    """Writes one trace. Raises UserError for a sample without gold frames."""

    def __init__(self, sample: Sample, options: TraceOptions, rng: random.Random) -> None:
        self.sample, self.options, self.rng = sample, options, rng
        self.table = tables.Table(sample)
        self.truth = sample.answer.options.get(sample.answer.gold, sample.answer.gold)
        self.gold: list[int] = self.table.gold()
        self.grid = sights.look(sample, self.table.grid)

    def turns(self) -> Turns:
        """The first family, from the drawn one on, that the sample allows."""
        if environment.tool_is_off(self.sample):
            return [
                self._call(self._first(), (self.rng.choice(self.gold),)),
                self._answer(self._thought(self.table.grid)),
            ]
        family = self._drawn()
        if family is Family.AT_ONCE or self._slips(self.options.hasty):
            return [self._answer(self._thought(self.table.grid))]
        writers = {Family.ONE: self._one, Family.TWO: self._two, Family.AGAIN: self._again}
        for name in (family, *(other for other in writers if other is not family)):
            turns = writers[name]()
            if turns:
                return turns
        return self._looked((self.rng.choice(self.gold),))

    def _drawn(self) -> Family:
        shares = self.options.shares
        others = [family for family in (Family.ONE, Family.TWO, Family.AGAIN) if shares.get(family)]
        if self.grid.answer == self.truth:
            seen = min(1.0, len(self.table.grid) * self.sample.metadata["flash"] / self.sample.metadata["frames"])
            chance = shares.get(Family.AT_ONCE, 0.0) / sum(shares.values()) / seen
            if not others or self.sample.metadata["family"] == "order" or self._slips(chance):
                return Family.AT_ONCE
        return self.rng.choices(others, [shares[family] for family in others])[0] if others else Family.ONE

    def _slips(self, rate: float) -> bool:
        return self.rng.random() < rate

    def _one(self) -> Turns | None:
        """The right frame, or by slips another one or more than that."""
        if self._slips(self.options.wrong_frame):
            return self._looked((self.rng.choice(self._elsewhere()),))
        right = next((places for places in self._right() if self._shows(places)), None)
        if right is not None and self._slips(self.options.junk):
            room = self.table.settings.max_selected - len(right)
            others = [place for place in self._elsewhere() if place not in right]
            right = tuple(sorted([*right, *self.rng.sample(others, min(self.rng.randint(1, 3), room, len(others)))]))
        return None if right is None else self._looked(right)

    def _looked(self, places: Places) -> Turns:
        """A selection on the grid, and the answer with what it brings to sight."""
        return [self._call(self._first(), places), self._answer(self._thought(self.table.brought(places)))]

    def _two(self) -> Turns | None:
        if self.table.settings.max_rounds < 2:
            return None
        for coarse in self._coarse():
            frames = self.table.brought(coarse)
            sight, cue = sights.look(self.sample, frames), sights.cue_at(self.sample, frames)
            fine = next((places for places in _within(cue) if self._shows(coarse, places)), None)
            if sight.answer is not None or fine is None:
                continue
            if self._slips(self.options.wrong_frame):
                return self._looked(coarse)
            last = self._thought(self.table.brought(coarse, fine))
            return [self._call(self._first(), coarse), self._call(self._thought(frames), fine), self._answer(last)]
        return None

    def _again(self) -> Turns | None:
        """A frame beside the right one, then the last or first of what it brought; else a frame that is not there."""
        if self.table.settings.max_rounds < 2:
            return None
        for wrong, side in self._beside():
            frames = self.table.brought((wrong,))
            sight, second = sights.look(self.sample, frames), (len(frames) - 1 if side > 0 else 0,)
            if frames and sight.answer is None and self._shows((wrong,), second):
                last = self._thought(self.table.brought((wrong,), second))
                return [
                    self._call(self._first(), (wrong,)),
                    self._call(self._thought(frames), second),
                    self._answer(last),
                ]
        right = next((places for places in self._right() if self._shows(places)), None)
        if right is None:
            return None
        absent = (len(self.table.grid) + self.rng.randrange(4),)
        last = self._thought(self.table.brought(right))
        return [self._call(self._first(), absent), self._call(AGAIN, right), self._answer(last)]

    def _right(self) -> list[Places]:
        """Selections of gold frames alone: each by itself, and all of them where they are few enough."""
        choices: list[Places] = [(place,) for place in self.gold]
        if 1 < len(self.gold) <= self.table.settings.max_selected:
            choices.append(tuple(self.gold))
        self.rng.shuffle(choices)
        return choices

    def _coarse(self) -> Iterator[Places]:
        """Blocks around a gold frame, or it with one from elsewhere; a single one where one zoom is not enough."""
        last = len(self.table.grid) - 1
        blocks: list[Places] = [(place - 1, place, place + 1) for place in self.gold]
        blocks += [(place - 1, place) for place in self.gold] + [(place, place + 1) for place in self.gold]
        blocks += [(place, other) for place in self.gold for other in self.rng.sample(self._elsewhere(), 1)]
        self.rng.shuffle(blocks)
        singles = [(place,) for place in self.gold]
        for block in (*singles, *blocks) if self.sample.metadata["family"] == "direction" else blocks:
            yield tuple(sorted(place for place in block if 0 <= place <= last))

    def _beside(self) -> list[tuple[int, int]]:
        """Frames of the grid next to gold ones, with the side (1 later, -1 earlier) on which the gold lies."""
        found = [(place - side, side) for place in self.gold for side in (1, -1)]
        found = [(wrong, side) for wrong, side in found if wrong in self._elsewhere()]
        self.rng.shuffle(found)
        return found

    def _elsewhere(self) -> list[int]:
        """Frames of the grid that are not gold; all where all are."""
        return [place for place in range(len(self.table.grid)) if place not in self.gold] or list(self.gold)

    def _shows(self, *selections: Places) -> bool:
        """Whether the answer is in sight after these selections."""
        return bool(sights.look(self.sample, self.table.brought(*selections)).answer == self.truth)

    def _first(self) -> str:
        """The thought before the first call."""
        if self.options.scan:
            return self._thought(self.table.grid)
        words = str(sights.asked_for(self.sample))
        cue = sights.cue_at(self.sample, self.table.grid) if self.options.names else []
        return " ".join([words, "at", *(str(place + 1) for place in cue), "."]) if cue else words

    def _thought(self, frames: Sequence[int]) -> str:
        """What is seen on these frames."""
        words = str(sights.look(self.sample, frames).words)
        return f"{sights.scan(self.sample, frames)} {words}" if self.options.scan else words

    def _call(self, thought: str, places: Sequence[int]) -> str:
        return f"<think>{thought}</think>{calls.write_call(list(places))}"

    def _answer(self, thought: str) -> str:
        return boxed(thought, self.sample)


def boxed(thought: str, sample: Sample) -> str:
    """A thought and the gold answer."""
    return f"<think>{thought}</think>\\boxed{{{sample.answer.gold}}}"


def _within(places: Sequence[int]) -> list[Places]:
    """Each place by itself, each two neighbours, and all."""
    singles: list[Places] = [(place,) for place in places]
    pairs: list[Places] = [(place, place + 1) for place in places if place + 1 in places]
    return [*singles, *pairs, *([tuple(places)] if len(places) > 2 else [])]
