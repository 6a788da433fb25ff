"""CMB-Exam: exact equality of answer strings, macro over sub-categories within each category.

`official` takes the answer string alone, as its score.py does; `extracted` first reads the letters from a text, as its
generation script does before it writes them. Predictions (`answers`): its JSON list of {"id", "model_answer"}.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.reference.forms import field, grouped, mean, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "FreedomIntelligence/CMB {}@6c8ece4"
MULTI = "多项选择题"
_LETTERS = "ABCDEFG"
_SAID = re.compile(r"(?:答案|正确选项)(?:是|：|为|应该是|应该为)(.*?)(?:。|\.|$)", re.DOTALL)


def extract(output: str, multi: bool) -> str:
    """The letters after the first statement of an answer, else all capital letters A to G of the text, in their order.

    A single-answer question keeps the first one.
    """
    said = _SAID.search(output)
    letters = "".join(sign for sign in (said.group(1) if said else output) if sign in _LETTERS)
    return letters if multi else letters[:1]


def _gold(sample: Sample) -> str:
    return str(sample.metadata.get("answer", sample.answer.gold))


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    return output == _gold(sample)


def _extracted(output: str, sample: Sample, rng: random.Random) -> bool:
    return extract(output, sample.metadata.get("question_type") == MULTI) == _gold(sample)


def by_category(scored: Sequence[Scored]) -> dict[str, float]:
    """Mean over the categories, then each category: the plain mean of its sub-categories' accuracies."""
    classes: dict[str, list[float]] = {}
    for (category, _), part in grouped(scored, "exam_type", "exam_class").items():
        classes.setdefault(category, []).append(mean(part))
    categories = {name: sum(values) / len(values) for name, values in classes.items()}
    return {"mean": sum(categories.values()) / len(categories), **categories}


official = Reference(ORIGIN.format("score.py"), _official, by_category)
extracted = Reference(ORIGIN.format("src/utils.py match_choice, score.py"), _extracted, by_category)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The original's answers file. Raises UserError for a row without id or answer."""
    return named(samples, ((w, field(w, row, "id"), field(w, row, "model_answer")) for w, row in objects(path)))
