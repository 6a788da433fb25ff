"""Video-MME: the authors' scorer, which leaves unread answers out, and lmms-eval's

`template`: the filled output_test_template.json, [{"video_id", ..., "questions": [{"question_id", "response", ...}]}].
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.reference import mcq_extract
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "thanku-all/parse_answer eval_your_results.py@afd52cf"

_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",  # two commas are missing in the original
    "Best answer:Best option:",
    "Answer:",
    "Option:",
    "The correct answer",
    "The correct option",
)


def first_letter(output: str) -> str:
    """The first of A to D after the known phrases are cut out, inside words too; empty if there is none."""
    output = output.strip()
    for prefix in _PREFIXES:
        output = output.replace(prefix, "")
    found = re.search("[ABCD]", output)
    return found[0] if found else ""


def _official(output: str, sample: Sample, rng: random.Random) -> bool | None:
    letter = first_letter(output)
    return letter == sample.answer.gold if letter else None


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool:
    return mcq_extract.extract(output) == sample.answer.gold


def durations(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all counted answers, and over short, medium and long videos."""
    found = means(scored, "duration")
    return {"acc": mean(scored), **{name: found[name] for name in ("short", "medium", "long") if name in found}}


official = Reference(f"{ORIGIN}, unread answers left out", _official, durations, missing=None)
lmms_eval = Reference(f"{mcq_extract.ORIGIN}, lmms_eval/tasks/videomme/utils.py", _lmms, durations)


def template(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' template with a response to each question."""
    found = []
    for where, video in objects(path):
        questions = field(where, video, "questions")
        if not isinstance(questions, list) or not all(isinstance(one, dict) for one in questions):
            raise UserError(f"{where}: 'questions' is no list of objects")
        rows = [(f"{where} question {number}", one) for number, one in enumerate(questions, start=1)]
        found += [(place, field(place, one, "question_id"), field(place, one, "response")) for place, one in rows]
    return named(samples, found)
