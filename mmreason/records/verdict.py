"""The outcome of grading one answer: right, wrong, or unread, with the answer read and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Three outcomes, never two: a formatting slip must not look like a weak model."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREAD = "unread"


class Unread(StrEnum):
    """Why a grader could not read one of the two sides."""

    PREDICTION = "prediction"
    """No answer, or none that parses, in the model's output: scores 0, counted apart."""
    GOLD = "gold"
    """The reference itself does not parse: the prompt is dropped from RL, never rewarded."""
    TIMEOUT = "timeout"
    """Parsing or comparing ran past its limit: scores 0, counted apart."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a grader says. `read` is the answer as read from the output; `why` is for people."""

    outcome: Outcome
    read: str | None
    why: str
    unread: Unread | None = None

    @property
    def score(self) -> float:
        """1.0 for right, else 0.0."""
        return 1.0 if self.outcome is Outcome.RIGHT else 0.0

    @classmethod
    def right(cls, read: str, why: str) -> Verdict:
        return cls(Outcome.RIGHT, read, why)

    @classmethod
    def wrong(cls, read: str, why: str) -> Verdict:
        return cls(Outcome.WRONG, read, why)

    @classmethod
    def of(cls, equal: bool, read: str, why: str) -> Verdict:
        return cls(Outcome.RIGHT if equal else Outcome.WRONG, read, why)

    @classmethod
    def no_read(cls, cause: Unread, why: str, read: str | None = None) -> Verdict:
        return cls(Outcome.UNREAD, read, why, cause)
