"""PMC-VQA's test script: output and label are each given to the choice that difflib finds nearest.

The choices carry their letters ("A:Diffuse uptake"); in the choice task the model answers one character. Nobody
abstains: text that resembles nothing matches no choice, and two such are equal. `blank` scores free answers against
the choices without letters, as the fill-in task does.
"""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.reference.vqa_words import gold_text, nearest
from mmreason.suites.references import Reference

ORIGIN = "xiaoman-zhang/PMC-VQA src/MedVInT_TD/test.py@1678ec2"
_LETTER = re.compile(r"^\s*[A-D]:")


def printed(sample: Sample) -> list[str]:
    """The four choices as the file prints them."""
    return [str(choice) for choice in sample.metadata["choices"]]


def _choice(output: str, sample: Sample, rng: random.Random) -> bool:
    """Only the last character of the output is looked at, as the script does."""
    choices = printed(sample)
    return nearest(choices, output[-1:]) == nearest(choices, gold_text(sample))


def _whole(output: str, sample: Sample, rng: random.Random) -> bool:
    choices = printed(sample)
    return nearest(choices, output) == nearest(choices, gold_text(sample))


def _blank(output: str, sample: Sample, rng: random.Random) -> bool:
    choices = [_LETTER.sub("", choice) for choice in printed(sample)]
    return nearest(choices, output) == nearest(choices, _LETTER.sub("", gold_text(sample)))


choice = Reference(f"{ORIGIN}, last token", _choice)
whole = Reference(f"{ORIGIN}, whole output", _whole)
blank = Reference(f"{ORIGIN}, choices without letters", _blank)
