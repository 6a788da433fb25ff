"""LogicVista's comparison of letter lists; the model that extracts them is left out

Predictions files: `answers` is the repository's eval/answers/<model>-answers.json, {"v1_0": {"answer": ...}, ...}
whose raw answers the original hands to a language model; `extracted` is its eval/results/<model>-accuracy-results.csv
with that model's letters in the column "<model> answer extracted".
"""

from __future__ import annotations

import ast
import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import read_text
from mmreason.suites.reference.forms import field, mean, means, named, objects
from mmreason.suites.references import Reference, Scored

ORIGIN = "Yijia-Xiao/LogicVista eval/{extract_accuracy,analyze_accuracy}.py@e5795f1, on letters already extracted"
LONGEST = 1000
"""Characters of an output that may be a list of letters."""


def letters(output: str) -> list[str]:
    """The items of a written list "['a', 'c']", else of "A, C"; lower-case and sorted."""
    items: object = output.split(", ")
    if output.startswith("[") and len(output) <= LONGEST:
        try:
            items = ast.literal_eval(output)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            items = [output]
    return sorted(str(item).lower() for item in items) if isinstance(items, list) else [output.lower()]


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    return letters(output.strip()) == sorted(item.lower() for item in sample.metadata["released_answer"].split(", "))


def skills(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all, by reasoning skill, by broad and by specific capability.

    The authors' script reads a key "capability" that the released file does not have; its two successors stand here.
    """
    numbers = {"acc": mean(scored)}
    for key in ("skill", "broad_capability", "specific_capability"):
        numbers.update({f"{key}: {name}": value for name, value in means(scored, key).items()})
    return numbers


official = Reference(ORIGIN, _score, skills)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """{released id: {"answer": ...}}; what stands before "ASSISTANT:" is cut off, as in the original."""
    rows = [(where, row["id"], str(field(where, row, "answer"))) for where, row in objects(path)]
    return named(samples, [(where, key, _after_prompt(answer)) for where, key, answer in rows])


def _after_prompt(answer: str) -> str:
    return answer.split("ASSISTANT:")[1] if "ASSISTANT:" in answer else answer


def extracted(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """CSV with "id" and one column that ends in "answer extracted"."""
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    column = next((name for name in rows[0] if name.endswith("answer extracted")), None) if rows else None
    if column is None or "id" not in rows[0]:
        raise UserError(f"{path} has no columns 'id' and '... answer extracted'")
    return named(samples, [(f"{path} row {number}", row["id"], row[column]) for number, row in enumerate(rows, 1)])
