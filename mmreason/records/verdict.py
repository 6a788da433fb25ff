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
    value: float | None = None
    """Partial credit in [0, 1], for kinds that have it (IoU, relative accuracy, overlap); None: all or nothing."""

    @property
    def score(self) -> float:
        """1.0 for right, else 0.0."""
        return 1.0 if self.outcome is Outcome.RIGHT else 0.0

    @property
    def credit(self) -> float:
        """The partial credit where the kind has one, else the score."""
        return self.score if self.value is None else self.value

    @classmethod
    def graded(cls, value: float, threshold: float, read: str, why: str) -> Verdict:
        """Right from `threshold` on, with the partial credit kept."""
        outcome = Outcome.RIGHT if value >= threshold else Outcome.WRONG
        return cls(outcome, read, why, value=value)

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
