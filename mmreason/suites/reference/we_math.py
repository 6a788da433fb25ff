"""We-Math's letter rule and its four-dimensional metrics, strict and loose

Predictions file: `responses` is the repository's result JSON, an array of its questions each with "response"; a row is
known by its "ID" and "key".
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, mean, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "We-Math/We-Math evaluation/{four_dimensional_metrics,accuracy}.py@a57a0e8"
FINAL = "multi"
_MARKS = re.compile(r"[><:.]")


def read_letter(response: str) -> str | None:
    """First character behind the last "Answer", marks removed; None unless it is one of A to H."""
    tail = _MARKS.sub("", response.split("Answer")[-1].strip()).strip()
    return tail[0] if tail and tail[0] in "ABCDEFGH" else None


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return read_letter(output) == sample.answer.gold


def composites(scored: Sequence[Scored]) -> tuple[list[tuple[list[bool], bool]], int]:
    """(sub-questions right, composite right) of every complete problem, and how many problems are not complete."""
    found: dict[str, dict[str, bool]] = {}
    steps: dict[str, int] = {}
    for one in scored:
        problem, part = one.sample.source.document, one.sample.metadata["part"]
        found.setdefault(problem, {})[part] = one.value == 1.0
        steps[problem] = one.sample.metadata["steps"]
    whole = {problem: parts for problem, parts in found.items() if len(parts) == steps[problem] + 1}
    rows = [([right for part, right in parts.items() if part != FINAL], parts[FINAL]) for parts in whole.values()]
    return rows, len(found) - len(whole)


def _dimensions(rows: Sequence[tuple[list[bool], bool]], loose: bool) -> dict[str, float]:
    """Score and rates of one mode. Rote memorisation is a share of the right composites; 0 where there is none."""
    enough = [any(subs) if loose else all(subs) for subs, _ in rows]
    ik = sum(not all(subs) and not final for subs, final in rows)
    ig = sum(all(subs) and not final for subs, final in rows)
    cm = sum(final and known for (_, final), known in zip(rows, enough, strict=True))
    rm = sum(final and not known for (_, final), known in zip(rows, enough, strict=True))
    total = len(rows) or 1
    return {
        "score": (total - 0.5 * ig - rm - ik) / total if rows else 0.0,
        "insufficient_knowledge": ik / total,
        "inadequate_generalisation": ig / total,
        "complete_mastery": cm / total,
        "rote_memorisation": rm / (cm + rm) if cm + rm else 0.0,
    }


def _steps(scored: Sequence[Scored]) -> Iterable[tuple[str, list[Scored]]]:
    finals = [one for one in scored if one.sample.metadata["part"] == FINAL]
    yield "one_step", [one for one in scored if one.sample.metadata["part"] != FINAL]
    yield "two_step", [one for one in finals if one.sample.metadata["steps"] == 2]
    yield "three_step", [one for one in finals if one.sample.metadata["steps"] == 3]


def four_dimensions(scored: Sequence[Scored]) -> dict[str, float]:
    """Strict and loose metrics over complete problems (525 in the release), and accuracy by number of steps.

    Problems of which a question is absent are left out and counted as `incomplete`; the original divides by 525
    whatever it was given.
    """
    rows, incomplete = composites(scored)
    modes = {"strict": _dimensions(rows, loose=False), "loose": _dimensions(rows, loose=True)}
    numbers = {f"{key}_{mode}": value for mode, found in modes.items() for key, value in found.items()}
    return {
        **numbers,
        **{name: mean(part) for name, part in _steps(scored)},
        "problems": float(len(rows)),
        "incomplete": float(incomplete),
    }


official = Reference(ORIGIN, _score, four_dimensions)


def responses(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """[{"ID", "key", "response", ...}, ...]."""
    rows = objects(path)
    return named(
        samples,
        [
            (where, f"{field(where, row, 'ID')}-{field(where, row, 'key')}", field(where, row, "response"))
            for where, row in rows
        ],
    )
