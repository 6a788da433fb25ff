"""Answers that state a time, alone or beside an option, as a JSON object: {"option": "B", "start_time": "12.0", ...}.

The form of Temporal-R1 (arXiv 2506.01908) and its relatives; other forms of times are read by `times.parse_intervals`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from mmreason.records import AnswerKind, Sample
from mmreason.rewards.times import LONGEST, Interval, parse_intervals

_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2}(?:\.\d+)?)", re.ASCII)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*s?", re.ASCII)
_TIMES = ("start_time", "end_time")
_FAMILY = "grounded"
_EVER = 1e9
"""Seconds beyond which a number is no time; also shuts out infinities and integers too large for a float."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """What an answer says: each part None where it is absent or makes no sense."""

    option: str | None
    window: Interval | None
    """Seconds, start not after end."""


NOTHING = Grounded(None, None)


def read_grounded(block: str) -> Grounded:
    """Option and window of an answer block.

    A JSON object is read by its keys: times are numbers, with or without quotes, perhaps with "s" behind, or mm:ss.
    Anything else is a window where `parse_intervals` finds exactly one, else an option. A start after its end, signs,
    infinities and bounds that are no times make no window.
    """
    said = json_object(block)
    if said is None:
        found = parse_intervals(block)
        return Grounded(None, found[0]) if found and len(found) == 1 else Grounded(block.strip() or None, None)
    start, end = (seconds(said.get(key)) for key in _TIMES)
    window = (start, end) if start is not None and end is not None and start <= end else None
    option = said.get("option")
    return Grounded(option.strip() or None if isinstance(option, str) else None, window)


def json_object(text: str) -> dict[str, Any] | None:
    """The text as one JSON object without repeated keys; None for anything else."""
    if len(text) > LONGEST:
        return None
    try:
        made = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a key that stands twice: two answers under one name."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def names_times(text: str) -> bool:
    """Whether the text is a JSON object with both times by name."""
    said = json_object(text)
    return said is not None and said.keys() >= set(_TIMES)


def seconds(value: Any) -> float | None:
    """Seconds that a number, "12.5", "12.5s" or "1:02.5" states; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value < _EVER else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if plain := _SECONDS.fullmatch(text):
        return float(plain[1])
    clock = _CLOCK.fullmatch(text)
    return None if clock is None else 3600 * float(clock[1] or 0) + 60 * float(clock[2]) + float(clock[3])


def asks_window(sample: Sample) -> bool:
    """Whether an answer of another kind must also say when it can be seen: the sample has the windows, and its metadata
    do not name a family of questions that asks for less."""
    untimed = sample.metadata.get("family", _FAMILY) != _FAMILY
    return sample.answer.kind is not AnswerKind.INTERVAL and "windows" in sample.evidence and not untimed
