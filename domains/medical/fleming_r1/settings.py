"""Settings of Fleming-R1: of its generator, as reader options, and of its reward and curriculum in
`options: {fleming_r1: {...}}`.

arXiv 2509.15279 [paper] states ideas and ratios and releases no code; what it does not state is [reconstructed].
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate

KEY = "fleming_r1"


class Law(StrEnum):
    """How the disease that a walk begins at is drawn."""

    TAIL = "tail"
    """p ~ (degree + 1) ** -0.5 [reconstructed]: rare entities are favoured [paper 3.1]."""
    UNIFORM = "uniform"
    NATURAL = "natural"
    """p ~ frequency: the natural mixture, arm A of the small-scale check."""


class Form(StrEnum):
    """How an item is asked."""

    LETTERS = "letters"
    """Lettered options, as the paper."""
    WORDS = "words"
    """The options as words in the question, one of which is the answer: a tiny model learns letters late."""


class Book(StrEnum):
    """Whether the facts stand beside the question."""

    CLOSED = "closed"
    """The clues alone, as the paper: the graph must be known."""
    OPEN = "open"
    """With what the graph says of the candidates, so that only the reasoning is asked."""


class RodsSettings(Strict):
    """Options of a source that samples a graph."""

    items: int = Field(default=1000, ge=1)
    """Slots; each gives one item or one drop."""
    hops: list[int] = Field(default_factory=lambda: [1, 2, 3])
    """Lengths of the paths from the clues to the answer, in equal shares. The paper's shape symptom, mechanism, test,
    treatment is three."""
    law: Law = Law.TAIL
    tail_part: float = Field(default=0.5, gt=0, lt=1)
    """The share of the diseases, rarest first, that is called the tail [reconstructed]."""
    tail_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the items about tail diseases, kept exactly; None: what the law gives."""
    tier: str | None = None
    """Items of this tier alone, by the rule of tiers.py; None: of all."""
    clues_least: int = Field(default=3, ge=1)
    """Clues to the first hidden node. Two, the least of the small-scale check, leave no room for a distractor that
    shares two and contradicts one [reconstructed]."""
    clues_most: int = Field(default=4, ge=1)
    nodes_most: int = Field(default=12, ge=4)
    """Nodes of the sub-graph that an item is cut from [reconstructed]."""
    options: int = Field(default=4, ge=2, le=10)
    shared_least: int = Field(default=2, ge=0)
    """Clues that a distractor satisfies too [reconstructed]."""
    strict: bool = False
    """Drop an item that lacks such distractors; else they are filled with nearer to farther ones, counted."""
    tries: int = Field(default=60, ge=1)
    """Walks a slot; a slot that none of them serves is a drop."""
    form: Form = Form.LETTERS
    book: Book = Book.CLOSED

    @model_validator(mode="after")
    def _sense(self) -> RodsSettings:
        if self.clues_least > self.clues_most:
            raise ValueError(f"clues_least {self.clues_least} is above clues_most {self.clues_most}")
        if not self.hops or min(self.hops) < 1:
            raise ValueError(f"hops {self.hops}: expected a list of lengths from 1 up")
        return self


class MiningSettings(Strict):
    """Adaptive hard-sample mining between the two stages of RL."""

    wrong_most: float = Field(default=1 / 8, ge=0, lt=1)
    """Pass rate up to which an item counts as failed [reconstructed: at most one of 8 answers]."""
    right_least: float = Field(default=7 / 8, gt=0, le=1)
    """Pass rate from which it counts as solved [reconstructed]; between the two it is drawn with the failed."""
    right: int = Field(default=1, ge=0)
    """Right : wrong = 1 : 2 [paper, figure 2]."""
    wrong: int = Field(default=2, ge=0)
    difficult_weight: float = Field(default=2.0, ge=1)
    """Weight of the difficult tier among the failed [reconstructed: "above all in Difficult"]."""
    keep: int | None = Field(default=None, ge=1)
    """Items drawn; None: as many as the two sides hold at the exact ratio without drawing one twice."""
    park: int = Field(default=2, ge=1)
    """Minings in a row without a right answer after which an item that the label audit flagged is left out
    [reconstructed]: its label is likely wrong."""

    @model_validator(mode="after")
    def _sense(self) -> MiningSettings:
        if self.wrong_most >= self.right_least:
            raise ValueError(f"wrong_most {self.wrong_most:g} must lie below right_least {self.right_least:g}")
        if not self.right + self.wrong:
            raise ValueError("right and wrong are both 0: nothing would be drawn")
        return self


class PlateauSettings(Strict):
    """When stage 1 has given what it can: rewards are sparse, or grow no more. All [reconstructed]: "plateaus"."""

    informative_least: float = Field(default=0.35, ge=0, le=1)
    """Share of groups that are neither all right nor all wrong."""
    informative_steps: int = Field(default=20, ge=1)
    growth_least: float = Field(default=0.005, ge=0)
    """Growth of the mean reward, as a share of it."""
    growth_steps: int = Field(default=50, ge=1)


class Blend(StrEnum):
    """What the step `blended` leaves of items that have a tier."""

    ALL = "all"
    TEXT = "text"
    """Easy : moderate = 1 : 1 [paper 3.3, "balanced"]."""
    FIGURE = "figure"
    """Difficult : easy = 1 : 1 [paper, figure 2, which disagrees]."""


class FlemingSettings(Strict):
    """`options.fleming_r1`."""

    format_credit: float = Field(default=0.0, ge=0, lt=1)
    """What a well-formed wrong answer earns. 0: the product of both criteria [reconstructed: no farming of the form];
    0.1 is the arm."""
    blend: Blend = Blend.ALL
    """Of the pool; stage 1 of the RL sets it."""
    mining: MiningSettings = MiningSettings()
    plateau: PlateauSettings = PlateauSettings()


def settings_of(options: Mapping[str, Any]) -> FlemingSettings:
    """The recipe's settings. Raises UserError naming a wrong key or value."""
    return validate(FlemingSettings, dict(options.get(KEY, {})), f"options.{KEY}")
