"""MedEvalKit on medical text questions: its choice rule on the answer blocks, else on the whole output.

It prints options as "A. text" for MedQA, MedMCQA, MMLU-Pro and MedXpertQA and as "A.text" for Medbullets, CMB and
CMExam, which decides which option is nearest to an answer without a letter. Its MMLU task does not run (it uses a
variable that it never sets) and its CMB task keeps single-answer questions only (`single`).
Predictions: `medevalkit.results`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from mmreason.records import Sample
from mmreason.suites.reference.forms import mean
from mmreason.suites.reference.medevalkit import ORIGIN, blocks
from mmreason.suites.reference.medevalkit_choice import choice_equal
from mmreason.suites.references import Reference, Scored

UNSPACED = frozenset({"medbullets", "cmb_exam", "cmexam"})
SINGLE = "单项选择题"


def printed(sample: Sample) -> list[str]:
    """The options as MedEvalKit shows them."""
    space = "" if sample.source.dataset in UNSPACED else " "
    return [f"{letter}.{space}{text}" for letter, text in sample.answer.options.items()]


def _right(output: str, sample: Sample, rng: random.Random) -> bool:
    gold = str(sample.metadata.get("answer", sample.answer.gold))
    return choice_equal(printed(sample), gold, blocks(output))


def _single(output: str, sample: Sample, rng: random.Random) -> bool | None:
    return _right(output, sample, rng) if _is_single(sample) else None


def _is_single(sample: Sample) -> bool:
    return str(sample.metadata.get("question_type")) == SINGLE


def _over_single(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy over the single-answer questions, also those without an answer."""
    return {"acc": mean(one for one in scored if _is_single(one.sample))}


multi_choice = Reference(ORIGIN.format("utils.py judge_multi_choice"), _right)
single = Reference(f"{ORIGIN.format('CMB/CMB.py')}, single-answer questions only", _single, _over_single)
