"""PathVQA's own evaluation script: letters and spaces only, so that digits vanish and "10 um" equals "um".

Its "exact match" is a share of words, its BLEU-n is the product over uniform weights without smoothing in which an
order without a hit is passed over. Where the script returns a warning text in place of a number (an output without
letters) the value is 0.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

from mmreason.records import Sample
from mmreason.rewards.overlap import ngrams
from mmreason.suites.reference.vqa_words import gold_text, lopsided_shares, word_counts
from mmreason.suites.references import Reference

ORIGIN = "UCSD-AI4H/PathVQA Evaluation script/evaluation_script.py@dd51804"
_NO_LETTER = re.compile("[^a-zA-Z ]")


def _bare(text: str) -> str:
    return _NO_LETTER.sub("", text)


def _exact(said: str, gold: str) -> float:
    words = word_counts(_bare(said))
    found = sum(word in words for word in word_counts(_bare(gold)))
    return found / words.total() if words else 0.0


def _f1(said: str, gold: str) -> float:
    return lopsided_shares(word_counts(_bare(said)), word_counts(_bare(gold)))[0]


def _bleu(order: int) -> Callable[[str, str], float]:
    """The script takes lengths in characters for the brevity penalty, and words for the n-grams."""

    def measure(said: str, gold: str) -> float:
        words, wanted = _bare(said).lower().split(), _bare(gold).lower().split()
        logs = 0.0
        for n in range(1, order + 1):
            grams = ngrams(words, n)
            if not grams:
                return 0.0
            hits = (grams & ngrams(wanted, n)).total()
            logs += math.log(hits / grams.total()) / order if hits else 0.0
        return (1.0 if len(said) > len(gold) else math.exp(1 - len(gold) / len(said))) * math.exp(logs)

    return measure


def _rule(measure: Callable[[str, str], float]) -> Callable[[str, Sample, random.Random], float]:
    return lambda output, sample, rng: measure(output, gold_text(sample))


exact = Reference(ORIGIN, _rule(_exact))
f1 = Reference(ORIGIN, _rule(_f1))
bleu_1 = Reference(ORIGIN, _rule(_bleu(1)))
bleu_2 = Reference(ORIGIN, _rule(_bleu(2)))
bleu_3 = Reference(ORIGIN, _rule(_bleu(3)))
