"""How RL prompts are chosen by repeated answers of the start model. Defaults are reconstructed where not marked."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from pydantic import Field, field_validator, model_validator

from mmreason.config.strict import Strict
from mmreason.errors import nearest


class Rule(StrEnum):
    """Which questions stay. All but RANDOM and LOWEST first drop what the bounds of `Selection` call uninformative."""

    VARIANCE = "variance"
    """Drawn with a chance that grows with the spread of the answers' credit (Temporal-R1's idea, arXiv 2506.01908)."""
    RITA = "rita"
    """By how many answers reach credit 0.5: hard, medium, easy in the shares of `mix`, never-right ones dropped."""
    GAUSSIAN = "gaussian"
    """Drawn with a normal weight on the mean credit around `centre` (Time-R1, arXiv 2503.13377)."""
    UNSOLVED = "unsolved"
    """Those that no answer solves (a control: RITA's authors saw it fall)."""
    RANDOM = "random"
    """Any (a control)."""
    LOWEST = "lowest"
    """Those with the least spread (a control)."""


class Selection(Strict):
    """`data.selection`, read where `data.rl_source` is variance."""

    rule: Rule | str = Rule.VARIANCE
    """One of these, or 'file.py:function' with a rule of the system's own (`mmreason.data.selection.Drawn`)."""
    k: int = Field(default=8, ge=2)
    """Answers a question; as many as a training group has, so that the spread is what training will see."""
    asked: int | None = Field(default=None, gt=0)
    """At most so many questions are drawn and answered, which costs more than training on them; None: all there are."""
    keep: int | float = Field(default=1.0, gt=0)
    """How many questions to keep: a whole number, or a share of the candidates (1.0: all that the rule lets through).
    The paper keeps 32k of 490k."""
    gamma: float = Field(default=1.0, ge=0)
    """Chance ~ spread ** gamma; RITA's alpha."""
    sigma_min: float = Field(default=0.05, ge=0)
    """Least population deviation of the credit; below it standardised advantages are noise at full strength."""
    unread_most: float = Field(default=0.5, ge=0, le=1)
    """Largest share of answers that cannot be read: their spread is one of parsing, not of knowing."""
    mean_most: float = Field(default=0.9, gt=0, le=1)
    """Largest mean credit: what is nearly solved teaches little."""
    best_least: float = Field(default=0.1, ge=0, le=1)
    """Least credit of the best answer: never near mostly means that the gold is wrong."""
    quotas: dict[str, float] = Field(default_factory=dict)
    """Type -> share of what is kept; empty: equal shares of all types, since no mix is known."""
    buckets: list[float] = Field(default_factory=lambda: [30.0, 120.0, 600.0])
    """Bounds between lengths of clips in seconds: inside a type, every source and length keeps its share."""
    solved: float = Field(default=0.5, gt=0, le=1)
    """Credit from which an answer counts as a hit [RITA: IoU 0.5]."""
    hard: float = 0.2
    """At most this share of hits: hard [RITA]."""
    easy: float = 0.8
    """At least this share of hits: easy [RITA]."""
    mix: tuple[float, float, float] = (1.0, 6.0, 3.0)
    """Hard : medium : easy [RITA]."""
    centre: float = 0.3
    """Mean credit that is drawn most [Time-R1]."""
    width: float = Field(default=0.2, gt=0)
    """Deviation around it; not given by Time-R1."""

    @field_validator("rule", mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if given in set(Rule):
            return Rule(given)
        if isinstance(given, str) and re.fullmatch(r"[^:]+\.py:\w+", given):
            return given
        raise ValueError(
            f"no rule {given!r}{nearest(str(given), map(str, Rule))}; a rule of your own is 'file.py:function'"
        )

    @model_validator(mode="after")
    def _sense(self) -> Selection:
        if isinstance(self.keep, float) and self.keep > 1:
            raise ValueError(f"keep is {self.keep:g}: a share is at most 1.0, a count is written without a point")
        if not 0 <= self.hard < self.easy <= 1:
            raise ValueError(f"hard {self.hard:g} and easy {self.easy:g}: expected 0 <= hard < easy <= 1")
        if min(*self.mix, *self.quotas.values()) < 0 or not sum(self.mix) > 0:
            raise ValueError("mix and quotas are shares from 0 up, not all of mix 0")
        return self
