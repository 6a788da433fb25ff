"""GSM8K as lm-eval scores it: the number behind "####", or the last number, equal to the gold as text."""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.references import Reference

ORIGIN = "EleutherAI/lm-evaluation-harness lm_eval/tasks/gsm8k@4e7e0d4"
INVALID = "[invalid]"

_MARKED = re.compile(r"#### (\-?[0-9\.\,]+)")
_STATED = re.compile(r"The answer is (\-?[0-9\.\,]+).")
_ANY = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")


def read_marked(output: str) -> str:
    """The number behind the first "#### "."""
    found = _MARKED.findall(output)
    return found[0].strip() if found else INVALID


def read_stated(output: str) -> str:
    """The number behind the first "The answer is "; one character must follow it."""
    found = _STATED.findall(output)
    return found[0].strip() if found else INVALID


def read_last(output: str) -> str:
    """The last run of digits, points, commas and dollar signs."""
    found = _ANY.findall(output)
    return next(part for part in found[-1] if part).strip() if found else INVALID


def same(said: str, gold: str) -> bool:
    """Equal as text, without commas, dollar signs, anything up to "#### ", and a period at the end."""
    return _bare(said) == _bare(gold)


def _bare(text: str) -> str:
    text = text.replace(",", "").replace("$", "")
    return re.sub(r"\.$", "", re.sub(r"(?s).*#### ", "", text)).lower()


def _strict(output: str, sample: Sample, rng: random.Random) -> bool:
    return same(read_marked(output), sample.answer.gold)


def _stated(output: str, sample: Sample, rng: random.Random) -> bool:
    return same(read_stated(output), sample.answer.gold)


def _flexible(output: str, sample: Sample, rng: random.Random) -> bool:
    return same(read_last(output), sample.answer.gold)


strict_match = Reference(f"{ORIGIN}/gsm8k.yaml, strict-match", _strict)
cot_strict_match = Reference(f"{ORIGIN}/gsm8k-cot-zeroshot.yaml, strict-match", _stated)
flexible_extract = Reference(f"{ORIGIN}/gsm8k.yaml, flexible-extract", _flexible)
