"""OmniMedVQA's question-answering score: the option text that difflib finds nearest to the WHOLE output.

A short right answer inside a long text loses to a long option. An output that resembles no option raises in the
original and counts as wrong; questions whose inference failed vanish from its denominator (`missing=None`). The
prefix score needs the model's likelihoods and is not a scorer of outputs.
"""

from __future__ import annotations

import random

from mmreason.records import Sample
from mmreason.suites.reference.vqa_words import gold_text, nearest
from mmreason.suites.references import Reference


def _score(output: str, sample: Sample, rng: random.Random) -> bool:
    options = list(sample.answer.options.values())
    place = nearest(options, output)
    return place is not None and options[place] == gold_text(sample)


qa = Reference(
    "OpenGVLab/Multi-Modality-Arena MedicalEval/Question-answering_Score/utils/medicalqa.py@bd2999a",
    _score,
    missing=None,
)
