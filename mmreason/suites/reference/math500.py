"""Rules that MATH-500 is scored by in public."""

from __future__ import annotations

import random

from mmreason.records import Sample
from mmreason.rewards.official_text import math500_evalscope_equal, math500_hendrycks_equal
from mmreason.suites.references import Reference


def _hendrycks(output: str, sample: Sample, rng: random.Random) -> bool:
    return math500_hendrycks_equal(output, sample.answer.gold)


def _evalscope(output: str, sample: Sample, rng: random.Random) -> bool:
    return math500_evalscope_equal(output, sample.answer.gold)


hendrycks = Reference("volcengine/verl verl/utils/reward_score/math_reward.py@b178a3c", _hendrycks)
evalscope = Reference("modelscope/evalscope metrics/math/parser.py@fde259d (a lower bound of it)", _evalscope)
