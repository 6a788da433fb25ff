"""What no model is needed for: the gold itself, one constant answer, chance. They stand beside each score."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from mmreason.records import Answer, AnswerKind, Sample
from mmreason.rewards.grade import grade
from mmreason.suites.references import Scored
from mmreason.suites.rules import references
from mmreason.suites.suite import Suite

_LETTERS = ("A", "B", "C", "D")
_WORDS = ("0", "0.0", "1", "100", "yes", "no")
CONSTANTS = {AnswerKind.CHOICE: _LETTERS, AnswerKind.MATH: ("0", "1", "100")}
"""Constant answers tried for a kind; judgements try each gold label, other kinds the numbers and yes/no."""


def as_output(answer: str) -> str:
    """An answer in the form that our prompts ask for."""
    return f"<think>constant</think><answer>\\boxed{{{answer}}}</answer>"


def gold_output(answer: Answer) -> str:
    """The gold as a model in the asked form would give it."""
    return as_output(answer.gold)


def constant_scores(suite: Suite, samples: Sequence[Sample], word: str) -> dict[str, float]:
    """The scores of always answering `word`, strict and by every published scorer of the suite.

    Published scorers see the bare word and our tagged form, and count the better: some read only one of them.
    """
    text = as_output(word)
    scores = {"strict": sum(grade(text, sample.answer).score for sample in samples) / len(samples)}
    for name, one in references(suite).items():
        scores[name] = max(_mean(one.run([form] * len(samples), samples)) for form in (word, text))
    return {name: round(value, 6) for name, value in scores.items()}


def _mean(scored: Sequence[Scored]) -> float:
    values = [one.value for one in scored if one.value is not None]
    return sum(values) / len(values) if values else 0.0


def constants(suite: Suite, samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    """Constant answer -> its scores, for the constants that suit the suite's answer kinds."""
    kinds = sorted({sample.answer.kind for sample in samples})
    labels = sorted({sample.answer.gold for sample in samples if sample.answer.kind is AnswerKind.JUDGEMENT})
    words = {**CONSTANTS, AnswerKind.JUDGEMENT: tuple(labels)}
    tried = dict.fromkeys(word for kind in kinds for word in words.get(kind, _WORDS))
    return {word: constant_scores(suite, samples, word) for word in tried}


def _plain(gold: str) -> str:
    return re.sub(r"\s+", " ", gold).strip().casefold()


def majority(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Answer kind -> how many questions it has, its commonest gold, and that gold's share of them."""
    golds: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        golds[sample.answer.kind.value][_plain(sample.answer.gold)] += 1
    top = {kind: found.most_common(1)[0] for kind, found in sorted(golds.items())}
    return {
        kind: {"questions": golds[kind].total(), "gold": gold, "share": round(count / golds[kind].total(), 6)}
        for kind, (gold, count) in top.items()
    }


def chance(samples: Sequence[Sample]) -> float | None:
    """Expected strict accuracy of a random letter, over the single choices; None where there is none."""
    counts = [len(sample.answer.options) for sample in samples if sample.answer.options and not sample.answer.multi]
    return round(sum(1 / count for count in counts) / len(counts), 6) if counts else None
