"""The evaluation of the Video-R1 line, for all its sets: the text in the first answer tags"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from mmreason.records import AnswerKind, Sample
from mmreason.suites.references import Reference, Scored, counted_mean

ORIGIN = "tulerfeng/Video-R1 src/eval_bench.py@59d65c3"

_LEVELS = np.arange(0.5, 0.975, 0.05).astype(np.float32)
_EPSILON = np.float32(1e-8)


def answer_text(output: str) -> str:
    """Content of the first answer tags, else the whole output."""
    return (first_block(output) or "").strip() or output


def first_block(output: str) -> str | None:
    """What stands between the first opening answer tag and the next closing one; None where there is no such pair."""
    _, opened, rest = output.partition("<answer>")
    block, closed, _ = rest.partition("</answer>")
    return block if opened and closed else None


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def choice_equal(output: str, gold: str) -> bool:
    """The tagged text is the gold letter and nothing else."""
    return answer_text(output).strip() == gold.strip()


def number_equal(output: str, gold: str) -> bool:
    """Equal at two decimals, where both or neither hold a full stop or comma."""
    said = answer_text(output)
    if ("." in gold or "," in gold) != ("." in said or "," in said):
        return False
    left, right = _number(said), _number(gold)
    return left is not None and right is not None and _rounded(left) == _rounded(right)


def _rounded(value: float) -> float:
    return round(value, 2)  # NaN equals nothing, infinities keep themselves: as in the original


def regression(output: str, gold: str) -> float:
    """Share of ten levels whose allowed relative error is *above* the answer's, in single precision."""
    said, wanted = _number(answer_text(output)), _number(gold)
    if said is None or wanted is None:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(np.float32(said) - np.float32(wanted)) / (np.abs(np.float32(wanted)) + _EPSILON)
        return float(np.mean(error < np.float32(1) - _LEVELS, dtype=np.float32))


def _reward(output: str, sample: Sample, rng: random.Random) -> float | bool:
    """By kind; free text and OCR score 0 in this script, whatever they say."""
    rules = {
        AnswerKind.CHOICE: choice_equal,
        AnswerKind.JUDGEMENT: choice_equal,
        AnswerKind.NUMBER: number_equal,
        AnswerKind.REGRESSION: regression,
    }
    rule = rules.get(sample.answer.kind)
    return rule(output, sample.answer.gold) if rule else False


def _means(scored: Sequence[Scored]) -> dict[str, float]:
    """`mean_acc` over all but measured numbers, `mean_mra` over those."""
    measured = [one for one in scored if one.sample.answer.kind is AnswerKind.REGRESSION]
    other = [one for one in scored if one.sample.answer.kind is not AnswerKind.REGRESSION]
    parts = {"mean_acc": other, "mean_mra": measured}
    return {name: counted_mean(part)["acc"] for name, part in parts.items() if part}


reward = Reference(ORIGIN, _reward, _means)
