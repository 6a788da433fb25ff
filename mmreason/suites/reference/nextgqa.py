"""NExT-GQA: accuracy of answers that are also grounded, by the authors' rules and by ours

`grounds`: <split>_ground*.json, {"<video>_<number>": [start, end]}, with <split>-res.json beside it,
{"<video>_<number>": {"prediction": index, "answer": index}}; `located`: both in one, with the window as "location".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.rewards.choice import read_letters
from mmreason.rewards.extract import read_answer
from mmreason.rewards.grounded import names_times, read_grounded
from mmreason.rewards.times import Interval
from mmreason.suites.predictions import parse_json, read_text
from mmreason.suites.reference.forms import field, named, objects
from mmreason.suites.reference.nextqa import letter_of
from mmreason.suites.reference.spans import gold_windows, grounded, raw_windows, said_windows
from mmreason.suites.references import Reference, Scored

ORIGIN = "doc-doc/NExT-GQA code/TempGQA/eval_ground.py@63772e0"

_Overlap = tuple[float, float]
"""Intersection over union, and over the prediction."""


def official_overlap(window: Interval, said: Interval) -> _Overlap:
    """Of one gold window and the answer's, perhaps negative; a window of no length inside counts as wholly inside."""
    if said[0] == said[1]:
        return 0.0, float(window[0] <= said[0] <= window[1])
    common = min(window[1], said[1]) - max(window[0], said[0])
    hull = max(window[1], said[1]) - min(window[0], said[0])
    return common / hull if hull > 0 else 0.0, common / (said[1] - said[0]) if said[1] > said[0] else 0.0


def best(windows: Sequence[Interval], said: Interval) -> _Overlap:
    """The best of each figure over the gold windows, not below 0."""
    overlaps = [official_overlap(window, said) for window in windows]
    return max(0.0, *(one[0] for one in overlaps)), max(0.0, *(one[1] for one in overlaps))


def figures(overlaps: Sequence[_Overlap], right: Sequence[bool]) -> dict[str, float]:
    """The authors' table over these questions."""
    count = len(overlaps) or 1
    table = {"Acc@GQA": sum(iop >= 0.5 and hit for (_, iop), hit in zip(overlaps, right, strict=True)) / count}
    for name, values in (("IoP", [iop for _, iop in overlaps]), ("IoU", [iou for iou, _ in overlaps])):
        table[f"m{name}"] = sum(values) / count
        table |= {f"{name}@{level}": sum(value >= level for value in values) / count for level in (0.3, 0.5)}
    return table


def _choice(output: str, sample: Sample, rng: random.Random) -> bool:
    """The letter that stands in the answer; no random credit, as the authors' models always choose."""
    read = read_answer(output, lenient=True).text or ""
    option = read_grounded(read).option if names_times(read) else read
    return read_letters(option or "", sample.answer.options) == frozenset(sample.answer.gold)


def _official(scored: Sequence[Scored]) -> dict[str, float]:
    """The authors' table, which leaves questions without a window out; QA accuracy over all questions."""
    found = [(raw_windows(one.output), one) for one in scored]
    kept = [(best(gold_windows(one.sample), said[0]), bool(one.value)) for said, one in found if said]
    table = figures([overlap for overlap, _ in kept], [hit for _, hit in kept])
    return {**table, "Acc@QA": sum(bool(one.value) for one in scored) / len(scored)}


def table(scored: Sequence[Scored]) -> dict[str, float]:
    """Strict: every question counts; no window, several, or one of no length is no evidence."""
    overlaps = [_strict(one) for one in scored]
    right = [one.value == 1.0 for one in scored]
    return {**figures(overlaps, right), "Acc@QA": sum(right) / len(scored)}


def _strict(one: Scored) -> _Overlap:
    said = said_windows(one.output) or []
    if len(said) != 1 or said[0][0] == said[0][1]:
        return 0.0, 0.0
    return best(gold_windows(one.sample), said[0])


official = Reference(f"{ORIGIN}, questions without a window left out", _choice, _official)


def grounds(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Windows, and answers from the file beside them."""
    beside = path.with_name(f"{path.name.partition('_')[0]}-res.json")
    letters = {field(where, row, "id"): letter_of(where, row) for where, row in objects(beside)}
    value = parse_json(read_text(path), str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path} is {type(value).__name__}, expected one object of windows")
    windows = {key: _pair(f"{path} key {key!r}", pair) for key, pair in value.items()}
    keys = dict.fromkeys([*letters, *windows])
    return named(samples, ((str(path), key, grounded(letters.get(key, ""), windows.get(key, []))) for key in keys))


def located(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Index and window of each question in one object; the window runs from the first to the last time listed."""
    rows = [(where, row, field(where, row, "location")) for where, row in objects(path)]
    return named(
        samples,
        (
            (where, field(where, row, "id"), grounded(letter_of(where, row), _pair(where, [times[0], times[-1]])))
            for where, row, times in rows
        ),
    )


def _pair(where: str, value: Any) -> list[list[float]]:
    """One window as a list of windows. Raises UserError for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value) or len(value) < 2:
        raise UserError(f"{where}: window is {value!r:.80}, expected start and end in seconds")
    return [[float(value[0]), float(value[-1])]]
