"""MIRAGE: its letter patterns, "A" where none fits, and the plain mean of its five parts.

Predictions (`folder`): as the original keeps them, one JSON list a question, of which the first element counts, called
`test_<id>.json` (`dev_<id>.json` for MedMCQA). For one part name the folder of one model's files; for the whole
benchmark a folder with a subfolder for each part, called mmlu, medqa, medmcqa, pubmedqa and bioasq.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import parse_json, read_text
from mmreason.suites.reference.forms import means
from mmreason.suites.references import Reference, Scored

ORIGIN = "Teddy-XiongGZ/MIRAGE src/evaluate.py, src/utils.py@392943a"
PARTS = ("mmlu", "medqa", "medmcqa", "pubmedqa", "bioasq")
FALLBACK = "A"
"""What a text without any of the patterns counts as: yes in the two literature sets."""

_KEY = '"answer_choice": "'
_PATTERNS = (
    *(r"^\s*([A-D])$", r"^\s*([A-D]) or", r"^\s*([A-D]) and", r"^\s*([A-D])/", r"^\s*([A-D]),"),
    *(r"[Oo]ption ([A-D])", r":\s*([A-D])", r"^\s*([A-D])\.", r'^\s*([A-D])"', r"^\s*([A-D]):"),
)
_PMC_LLAMA = (r"[Oo]ption ([A-D])", r"OPTION ([A-D])", r'^\s*([A-D])"', r"^\s*([A-D]):")


def letter(output: str, patterns: Sequence[str] = _PATTERNS) -> str:
    """The letter that MIRAGE reads after the last `"answer_choice": "`: first pattern, first match, else "A"."""
    said = output.split(_KEY)[-1].strip()
    hits = (re.search(pattern, said) for pattern in patterns)
    return next((hit.group(1) for hit in hits if hit), FALLBACK)


def _equal(output: str, sample: Sample, rng: random.Random) -> bool:
    return letter(output) == sample.answer.gold


def _equal_pmc_llama(output: str, sample: Sample, rng: random.Random) -> bool:
    said = output.split(_KEY)[-1].strip().split("Answer:")[-1]
    return letter(said, _PMC_LLAMA) == sample.answer.gold


def mean_of_parts(scored: Sequence[Scored]) -> dict[str, float]:
    """The plain mean over the parts, then each part's accuracy."""
    parts = means(scored, "part")
    return {"mean": sum(parts.values()) / len(parts), **parts}


official = Reference(ORIGIN, _equal, mean_of_parts)
pmc_llama = Reference(f"{ORIGIN}, patterns for PMC-LLaMA", _equal_pmc_llama, mean_of_parts)


def folder(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """A folder of MIRAGE's prediction files. Raises UserError for a file that is no list of texts, an id given twice,
    or a folder without any."""
    parts = {str(sample.metadata["part"]) for sample in samples}
    only = next(iter(parts)) if len(parts) == 1 else ""
    ids = {(str(s.metadata["part"]), str(s.metadata["part_id"])): s.id for s in samples}
    found: dict[str, list[str]] = {}
    for file in sorted(path.rglob("*.json")) if path.is_dir() else []:
        first = file.relative_to(path).parts[0]
        part = first if first in PARTS else only
        if part not in parts:
            continue
        released = file.stem.partition("_")[2]
        name = ids.get((part, released), f"{part}-{released}")
        if name in found:
            raise UserError(f"{file}: question {released} of {part} was given before; name the folder of one model")
        answers = _answers(file)
        if answers:  # the original counts an empty list as wrong: the question then has no answer
            found[name] = answers[:1]
    if not found:
        raise UserError(f"{path} is no folder with prediction files such as test_0000.json")
    return found


def _answers(file: Path) -> list[str]:
    value = parse_json(read_text(file), str(file))
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UserError(f"{file} is no JSON list of texts")
    return value
