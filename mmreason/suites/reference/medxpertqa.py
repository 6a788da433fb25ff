"""MedXpertQA's own cleansing of the second reply, which it also uses for MedQA, MedMCQA and MMLU medicine.

The original asks twice: the question with "Let's think step by step.", then, in the same conversation, "Therefore,
among A through J, the answer is". Only the second reply is scored. Predictions (`outputs`): the lines it writes,
{"id", "response", ...} with the second reply as `response`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.records import Sample
from mmreason.suites.predictions import read_lines
from mmreason.suites.reference.forms import field, mean, means, named
from mmreason.suites.references import Reference, Scored

ORIGIN = "TsinghuaC3I/MedXpertQA eval/utils.py, eval/main.py@f21247d"
NOTEBOOK = "TsinghuaC3I/MedXpertQA eval/eval.ipynb@f21247d"

_UNWANTED = ("I understand", "A through J", "A through E", "A through D")
_FINAL = re.compile(r"final answer", re.IGNORECASE)


def _last(sample: Sample) -> str:
    """The last option letter."""
    return chr(ord("A") + len(sample.answer.options) - 1)


def cleansed(reply: str, last: str) -> str | None:
    """The first option letter that stands alone after the trigger; the article "A" and the pronoun "I" count."""
    reply = reply.strip()
    for mark in (f"Therefore, among A through {last}, the answer is", " answer is "):
        if mark in reply:
            reply = reply.split(mark)[1].strip()
            break
    for phrase in _UNWANTED:
        reply = reply.replace(phrase, "")
    found = re.search(rf"\b[A-{last}]\b", reply)
    return found.group() if found else None


def _official(output: str, sample: Sample, rng: random.Random) -> bool:
    return cleansed(output, _last(sample)) == sample.answer.gold


def _boxed(output: str, sample: Sample, rng: random.Random) -> bool:
    found = re.search(rf"\\boxed{{([A-{_last(sample)}])}}", output)
    return (found.group(1) if found else output) == sample.answer.gold


def _qvq(output: str, sample: Sample, rng: random.Random) -> bool:
    tail, last = _FINAL.split(output)[-1].strip(), _last(sample)
    found = re.findall(rf"[A-{last}]", tail) or re.findall(rf"[a-{last.lower()}]", tail)
    said = (found[0] if _FINAL.search(output) else found[-1]).upper() if found else tail
    return said == sample.answer.gold


def by_type(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy, then that of each question type where the set has them."""
    types = means(scored, "question_type")
    return {"acc": mean(scored)} | (types if "(none)" not in types else {})


official = Reference(ORIGIN, _official, by_type)
boxed = Reference(f"{NOTEBOOK}, rule for deepseek-reasoner", _boxed, by_type)
qvq = Reference(f"{NOTEBOOK}, rule for QVQ", _qvq, by_type)


def outputs(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Second replies from the original's output lines. Raises UserError for a line without id or response."""
    return named(samples, ((w, field(w, row, "id"), field(w, row, "response")) for w, row in read_lines(path)))
