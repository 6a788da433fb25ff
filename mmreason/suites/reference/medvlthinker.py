"""MedVLThinker: closed items only; right is the letter, "letter. text" or the text, case aside.

The evaluator reads the first answer block over several lines; the training reward lacks that flag, so a line break
inside the block costs the reward (`reward`, which also asks for a think block first) and not the score.
"""

from __future__ import annotations

import random
import re

from mmreason.records import Sample
from mmreason.suites.references import Reference

ORIGIN = "UCSC-VLAA/MedVLThinker"
_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_ONE_LINE = re.compile(r"<answer>(.*?)</answer>")
_FORM = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)


def _right(said: str, sample: Sample) -> bool:
    letter, text = sample.answer.gold, sample.answer.options.get(sample.answer.gold, "")
    accepted = (f"{letter}. {text}", letter, text)
    return said.strip().lower() in [one.strip().lower() for one in accepted]


def _evaluate(output: str, sample: Sample, rng: random.Random) -> bool:
    found = _BLOCK.search(output.strip())
    return _right(found.group(1) if found else output, sample)


def _reward(output: str, sample: Sample, rng: random.Random) -> bool:
    found = _ONE_LINE.search(output)
    return bool(_FORM.fullmatch(output)) and _right(found.group(1) if found else output, sample)


evaluate = Reference(f"{ORIGIN} eval/run_offline_inference_v2.py@a3163b1", _evaluate)
reward = Reference(f"{ORIGIN} train/my_reward.py@a3163b1", _reward)
