"""R1-Router's F1-Recall: token recall for the gold of best token F1, after the normalisation of VQA

Predictions file: `answers` is the repository's results/<model>/<set>_<method>.jsonl, the rows of the question file with
"llm_answer" (a text, or an object with "answer"), in the order of the questions.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import read_lines
from mmreason.suites.reference.forms import field, mean, text
from mmreason.suites.reference.vqa_words import CONTRACTIONS, strip_marks
from mmreason.suites.references import Reference, Scored

ORIGIN = "OpenBMB/MoRE src/evaluate.py@9039ab3, its NLTK tokens by a reading of their rules"
_ARTICLES = ("an", "the")
_NUMBERS = dict(zip("zero one two three four five six seven eight nine ten".split(), map(str, range(11)), strict=True))
_NUMBERS["none"] = "0"
_TOKENS = (
    (re.compile(r"([\u00ab\u201c\u2018\u201e\u00bb\u201d\u2019])"), r" \1 "),
    (re.compile(r"([:,])(\D|$)"), r" \1 \2"),
    (re.compile(r"(\.{2,})"), r" \1 "),
    (re.compile(r"([;@#$%&?!*\u2012-\u2015])"), r" \1 "),
    (re.compile(r"(?<=[^.])\.(?=\s*$)"), " . "),
    (re.compile(r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)"), "' "),
    (re.compile(r"([^' ])('[smd]|') "), r"\1 \2 "),
    (re.compile(r"([^' ])('ll|'re|'ve|n't) "), r"\1 \2 "),
    (re.compile(r"\b(can)(not)\b|\b(gim|lem)(me)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b"), r"\1\3\5\7 \2\4\6\8"),
)
_NO_TOKENS = ",.?!:;'\""


def normal(words: str) -> str:
    """VQA's punctuation, number words, articles (here without "a") and contractions."""
    bare = strip_marks(words.replace("\n", " ").replace("\t", " ").strip())
    kept = [_NUMBERS.get(word, word) for word in bare.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in kept if word not in _ARTICLES)


def tokens(words: str) -> list[str]:
    """Lower-case tokens without punctuation."""
    words = f" {words.lower()} "
    for pattern, form in _TOKENS:
        words = pattern.sub(form, words)
    return [token for token in words.split() if token not in _NO_TOKENS]


def f1_recall(output: str, golds: Sequence[str]) -> float:
    """Recall for the first gold with the highest F1; 0 for an empty output or no common token."""
    said = Counter(tokens(normal(output)))
    best, recall = 0.0, 0.0
    for gold in golds:
        wanted = Counter(tokens(normal(gold)))
        common = (said & wanted).total()
        f1 = 2 * common / (said.total() + wanted.total()) if common else 0.0
        if f1 > best:
            best, recall = f1, common / wanted.total()
    return recall


def names_number(token: str, low: float, high: float) -> bool:
    """Whether a token is one of InfoSeek's numbers in a range, spelt as the original spells them all.

    It lists low, low + step, ... (steps by the width of the range) at three decimals, and the whole numbers. Signs are
    lost in the normalisation, so that -5 and 5 are the same token.
    """
    width = high - low
    step = 1 if width >= 50 else 0.1 if width >= 5 else 0.01 if width >= 1 else 0.001
    count = math.ceil((high + step - low) / step)
    try:
        size = float(token)
    except ValueError:
        return False
    if not math.isfinite(size):
        return False
    near = {
        index
        for value in (size, -size)
        for shift in (-1, 0, 1)
        if 0 <= (index := round((value - low) / step) + shift) < count
    }
    steps = {str(round(low + index * ((low + step) - low), 3)).lstrip("-") for index in near}
    whole = any(value in range(int(low), int(high + 1)) for value in (int(size), -int(size)))
    return token in steps or (whole and token == str(int(size)))


def range_recall(output: str, low: float, high: float) -> float:
    """1 where any token names a number of the range: each of them is one token, so its recall is 1."""
    return float(any(names_number(token, low, high) for token in set(tokens(normal(output)))))


def _score(output: str, sample: Sample, rng: random.Random) -> float:
    golds: list[str] = sample.metadata["golds"]
    if sample.metadata["ranged"]:
        return range_recall(output, *map(float, golds))
    return f1_recall(output, golds)


def _mean(scored: Sequence[Scored]) -> dict[str, float]:
    return {"f1_recall": mean(scored)}


official = Reference(ORIGIN, _score, _mean)


def _said(answer: Any) -> str:
    return text(answer.get("answer")) if isinstance(answer, dict) else text(answer)


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """One row a question, in the order of the questions, whose text must agree."""
    rows = read_lines(path)
    if len(rows) != len(samples):
        raise UserError(f"{path} has {len(rows)} rows, the suite {len(samples)} questions; rows go by their order")
    found = {}
    for (where, row), sample in zip(rows, samples, strict=True):
        if str(field(where, row, "question")).strip() != str(sample.metadata["question"]).strip():
            raise UserError(f"{where}: question {row['question']!r:.80} is not that of {sample.id}; keep the order")
        found[sample.id] = [_said(field(where, row, "llm_answer"))]
    return found
