"""What a published scorer is to us: a rule for one answer, and how its answers become the numbers that papers print."""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.errors import UserError, nearest
from mmreason.records import Sample

PACKAGE = "mmreason.suites.reference"


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer with its value under one scorer."""

    sample: Sample
    output: str | None
    """None where no answer was given."""
    value: float | None
    """Credit, mostly 0 or 1; None where this scorer leaves the item out of its denominator."""


Rule = Callable[[str, Sample, random.Random], "float | bool | None"]
"""One answer -> its value. The generator serves random fall-backs; it is seeded once and used in the suite's order."""
Total = Callable[[Sequence[Scored]], dict[str, float]]
"""All answers, in the suite's order -> named numbers, the headline first. Shares are in [0, 1]."""
FormatReader = Callable[[Path, Sequence[Sample]], dict[str, list[str]]]
"""A predictions file as a reference scorer takes it -> sample id -> outputs."""


def counted_mean(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over the items that the scorer counts; 0 when it counts none."""
    values = [one.value for one in scored if one.value is not None]
    return {"acc": sum(values) / len(values) if values else 0.0}


@dataclass(frozen=True, slots=True)
class Reference:
    """A published scorer. An item without an answer has the value `missing`."""

    origin: str
    """'owner/repository path@commit', or the sheet it is rebuilt from where the code cannot be had."""
    score: Rule
    total: Total = counted_mean
    seed: int = 0
    """Of the random fall-backs; the original's where it sets one."""
    missing: float | None = 0.0
    """0: counted as wrong. None: the original leaves unanswered items out of its denominator."""
    applies: Callable[[str], bool] | None = None
    """Whether an output has the form that this scorer takes; where none has, the scorer is left out of the results."""

    def run(self, outputs: Sequence[str | None], samples: Sequence[Sample]) -> list[Scored]:
        """Score all answers in order, with a generator of its own."""
        rng = random.Random(self.seed)
        return [
            Scored(sample, output, self.missing if output is None else _number(self.score(output, sample, rng)))
            for output, sample in zip(outputs, samples, strict=True)
        ]


def _number(value: float | bool | None) -> float | None:
    return None if value is None else float(value)


def _find(name: str, what: str) -> Any:
    """The attribute that '<module>.<attribute>' names. Raises UserError with the nearest names."""
    module, _, attribute = name.partition(".")
    folder = Path(__file__).parent / "reference"
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    if module not in modules:
        raise UserError(f"no {what} {name!r}: no module {module!r} under suites/reference{nearest(module, modules)}")
    loaded = importlib.import_module(f"{PACKAGE}.{module}")
    if not attribute or not hasattr(loaded, attribute):
        names = [key for key in vars(loaded) if not key.startswith("_")]
        raise UserError(f"no {what} {name!r}: {module} has no {attribute!r}{nearest(attribute, names)}")
    return getattr(loaded, attribute)


def reference(name: str) -> Reference:
    """The scorer that a suite's `metrics` names. Raises UserError for an unknown one."""
    found = _find(name, "reference scorer")
    if not isinstance(found, Reference):
        raise UserError(f"{name!r} is a {type(found).__name__}, expected a reference scorer")
    return found


def total(name: str) -> Total:
    """The function that a suite's `totals` names: numbers that a plain mean does not give."""
    found: Total = _find(name, "total")
    return found


def prediction_format(name: str) -> FormatReader:
    """The reader of a predictions file that a suite's `formats` names."""
    found: FormatReader = _find(name, "predictions format")
    return found
