"""CFLUE: its own extractor, and DianJin-R1's evaluation of it."""

from __future__ import annotations

import random

from mmreason.records import Sample
from mmreason.rewards.official_text import cflue_equal, dianjin_cflue_equal
from mmreason.suites.references import Reference


def _dianjin(output: str, sample: Sample, rng: random.Random) -> bool:
    return dianjin_cflue_equal(output, sample.answer.gold)


def _extractor(output: str, sample: Sample, rng: random.Random) -> bool:
    return cflue_equal(output, sample.answer.gold)


dianjin = Reference("aliyun/qwen-dianjin DianJin-R1/src/evaluate/eval.py@fd9b511", _dianjin)
extractor = Reference("aliyun/cflue exec_knowledge_eval.py, utils/extract_choice.py@ff28c38", _extractor)
