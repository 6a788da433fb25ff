"""MMVU: verdicts of the authors' judge where a file holds them, and lmms-eval's word rules

`judgements`: processed_outputs/.../<model>.json, [{"id", "response", "extracted_answer", "correct", ...}].
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample
from mmreason.suites.reference.forms import field, named, objects, text
from mmreason.suites.reference.judged import answer_of, is_judged, verdict_of, with_verdict
from mmreason.suites.references import Reference

ORIGIN = "yale-nlp/MMVU utils/eval_utils.py@4d54223, GPT-4o's verdicts as stored"
LMMS = "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/mmvu/utils.py@75571cf, its rules for choices"

_FIRST_LETTER = re.compile(r"\b([A-E])\b", re.IGNORECASE)


def word_rules(said: str, gold: str, options: dict[str, str]) -> bool:
    """Right if the first lone letter or any lone gold letter is there, or the option's text, or, where the gold letter
    occurs anywhere, inside words too, any word of three letters of that text."""
    said = said.strip()
    first = _FIRST_LETTER.search(said)
    lone = re.search(rf"\b{re.escape(gold)}\b", said, re.IGNORECASE)
    if (first and first[1].upper() == gold) or lone:
        return True
    if gold not in options:
        return False
    wanted, lower = options[gold].strip().lower(), said.lower()
    words = [word.strip(string.punctuation) for word in wanted.split()]
    hit = any(word in lower for word in words if len(word) > 2)
    return wanted in lower or (gold in said.upper() and hit)


def _lmms(output: str, sample: Sample, rng: random.Random) -> bool | None:
    """Open questions, which go on to a judge, are left out."""
    if sample.answer.kind is not AnswerKind.CHOICE:
        return None
    return word_rules(answer_of(output), sample.answer.gold, sample.answer.options)


def _stored(output: str, sample: Sample, rng: random.Random) -> bool:
    return verdict_of(output) == "right"


official = Reference(ORIGIN, _stored, applies=is_judged)
lmms_eval = Reference(LMMS, _lmms)


def judgements(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The authors' results. The answer is what their judge extracted, else the response; questions of the other kind
    stand in the same file and are passed over."""
    kinds = {sample.answer.kind for sample in samples}
    rows = [(where, row, str(field(where, row, "id"))) for where, row in objects(path)]
    ids = {sample.source.row for sample in samples}
    if kinds == {AnswerKind.CHOICE}:
        rows = [one for one in rows if one[2] in ids or any(map(str, dict(one[1].get("choices") or {}).values()))]
    return named(samples, ((where, name, _judgement(where, row)) for where, row, name in rows))


def _judgement(where: str, row: dict[str, Any]) -> str:
    correct = field(where, row, "correct")
    if not isinstance(correct, bool):
        raise UserError(f"{where}: correct is {correct!r}, expected true or false")
    answer = text(row.get("extracted_answer")) or text(field(where, row, "response"))
    return with_verdict(answer, "right" if correct else "wrong")
