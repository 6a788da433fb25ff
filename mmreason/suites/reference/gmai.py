"""GMAI-MMBench through VLMEvalKit without a judge: a letter near the end, "answer is X", else one option's text.

What these rules cannot read goes to a language model there, three times, and then to a random letter; with its policy
of exact matching, which is rebuilt here, it is wrong.
"""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.references import Reference

ORIGIN = "open-compass/VLMEvalKit vlmeval/utils/matching_util.py, dataset/utils/multiple_choice.py@e8e78f0"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SPACED = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_SAID = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)
_TAIL = 5


def by_letter(output: str, options: dict[str, str]) -> str | None:
    """The only letter among the words if it stands within the last four, else the one behind "answer is".

    "Z" for a refusal: read, and wrong.
    """
    if "Failed to obtain answer via API" in output:
        return None
    if any(refusal in output for refusal in _REFUSALS):
        return "Z"
    words = output.translate(_SPACED).split()
    found = [letter for letter in options if letter in words]
    if len(found) == 1 and words.index(found[0]) > len(words) - _TAIL:
        return found[0]
    if not found and "Z" in words:
        return "Z"
    said = _SAID.search(output)
    letter = said.group(1).upper() if said else None
    return letter if letter in options else None


def by_text(output: str, options: dict[str, str]) -> str | None:
    """The only option whose text occurs; nothing is looked for in outputs twice as long as all options together."""
    if len(output) > 2 * sum(map(len, options.values())):
        return None
    found = [letter for letter, text in options.items() if text.lower() in output.lower()]
    return found[0] if len(found) == 1 else None


def _rules(output: str, sample: Sample, rng: random.Random) -> bool:
    options = sample.answer.options
    return (by_letter(output, options) or by_text(output, options)) == sample.answer.gold


rules = Reference(f"{ORIGIN}, exact matching", _rules)
