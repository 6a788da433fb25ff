"""MVBench: the authors' notebook, and lmms-eval's scorer

`results`: the notebook's test.json, {"acc_dict": ..., "res_list": [{"pred", "gt"}, ...]}, all questions in the order of
its tasks; `pred` holds the bracket that the notebook puts back.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import parse_json, read_text
from mmreason.suites.reference.forms import field, mean, means, text
from mmreason.suites.references import Reference, Scored

ORIGIN = "OpenGVLab/Ask-Anything video_chat2/mvbench.ipynb@4dd8210"
LMMS = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/mvbench/utils.py@75571cf"
BRACKET = "("
"""End of the prefilled 'Best option:(', put back before the output."""

_LONE_LETTER = re.compile(r"\b([A-E])\b", re.IGNORECASE)
_FULL_STOP = re.compile(r"\.(?!\d)")
_STOPS_REMOVED = 32
"""The original passes a flag of the regex module, 32, where the count of replacements is expected."""
_GROUPED_DIGITS = re.compile(r"\d,\d")
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'


def gold_text(sample: Sample) -> str:
    """The gold as the notebook writes it: '(B) red'."""
    return f"({sample.answer.gold}) {sample.metadata['answer_text']}"


def first_words_match(said: str, gold: str) -> bool:
    """The first word of either occurs in the other's, so that an empty answer is right."""
    first, wanted = said.lower().split(" ")[0], gold.lower().split(" ")[0]
    return first.replace(".", "") in wanted or wanted in first


def _prefilled(output: str, sample: Sample, rng: random.Random) -> bool:
    line = output.removeprefix(BRACKET).strip().split("\n")[0]
    return first_words_match(BRACKET + line, gold_text(sample))


def _bare(output: str, sample: Sample, rng: random.Random) -> bool:
    return first_words_match(output, gold_text(sample))


def lmms_letter(output: str) -> str:
    """What lmms-eval compares: a letter where it finds one, else the cleaned text."""
    said = output.strip()
    text = said[2:].lstrip()
    if said[1:2] == "." and said[0] in "ABCDEabcde" and text and "\n" not in text:
        return said[0].upper()
    plain = _without_marks(output.replace("\n", " ").replace("\t", " ").strip())
    for edge in ("'", '"', ")", "("):
        plain = plain.strip(edge)
    plain = plain.strip().lower()
    lone = _LONE_LETTER.search(plain)
    return lone[1].upper() if lone else plain


def _without_marks(said: str) -> str:
    """Marks beside a blank vanish, others become one; all vanish where a number has grouped digits."""
    clean, grouped = said, _GROUPED_DIGITS.search(said) is not None
    for mark in _PUNCTUATION:
        beside = f"{mark} " in said or f" {mark}" in said
        clean = clean.replace(mark, "" if beside or grouped else " ")
    return _FULL_STOP.sub("", clean, count=_STOPS_REMOVED)


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool | None:
    return None if output == "" else lmms_letter(output) == sample.answer.gold


def tasks(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over all questions, and the mean of the tasks that have any: fewer than twenty are named as such."""
    found = means(scored, "task")
    return {"acc": mean(scored), f"mean_of_{len(found)}_tasks": sum(found.values()) / len(found)}


official = Reference(f"{ORIGIN}, first line behind the prefilled bracket", _prefilled, tasks)
bare = Reference(f"{ORIGIN}, its comparison of the whole output", _bare, tasks)
lmms_eval = Reference(f"{LMMS}, empty answers left out", _lmms, tasks, missing=None)


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The notebook's results; the gold of each row must be the question's own."""
    value = parse_json(read_text(path), str(path))
    rows = value.get("res_list") if isinstance(value, dict) else None
    if not isinstance(rows, list) or len(rows) != len(samples):
        held = len(rows) if isinstance(rows, list) else "no"
        raise UserError(f"{path} has {held} rows in 'res_list', expected the suite's {len(samples)} in their order")
    found = {}
    for number, (row, sample) in enumerate(zip(rows, samples, strict=True), start=1):
        where = f"{path} row {number}"
        if field(where, row, "gt") != gold_text(sample):
            raise UserError(f"{where} has the gold {row['gt']!r}, but {sample.id} has {gold_text(sample)!r}")
        found[sample.id] = [text(field(where, row, "pred"))]
    return found
