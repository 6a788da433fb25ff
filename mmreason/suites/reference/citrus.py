"""Citrus' evaluation of CareQA, Medbullets, PubMedQA, MMLU-Pro and JMED: the last answer block, letter by letter.

A block of more than three characters goes to a model there; those answers are left out here, so that the number is
over the answers which the rule decides alone.
"""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.references import Reference

ORIGIN = "jdh-algo/Citrus src/task/single_task/single_task_evaluation.py@b08fe35"
LONGEST = 3
"""Characters of an answer that the rule compares itself."""
_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def said(output: str) -> str:
    """The last answer block, else the whole output, stripped."""
    blocks: list[str] = _BLOCK.findall(output) or [output]
    return blocks[-1].strip()


def _rule(output: str, sample: Sample, rng: random.Random) -> bool | None:
    answer = said(output)
    return None if len(answer) > LONGEST else answer == sample.answer.gold


def has_block(output: str) -> bool:
    """Whether an output has an answer block."""
    return _BLOCK.search(output) is not None


rule = Reference(
    f"{ORIGIN}, answers of at most {LONGEST} characters; a model reads the longer ones there", _rule, applies=has_block
)
