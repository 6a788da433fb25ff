"""LLaVA-Med's scorer of VQA-RAD, SLAKE and PathVQA: closed accuracy and open recall, faults included.

Closed: right if the normalised output holds "yes" or "no" anywhere ("normal" holds one) and the normalised gold
anywhere. Open: overlap in which a word counts as often as the OUTPUT repeats it; the "exact match" is a precision of
distinct words. The published tables print closed accuracy and open recall; the program
prints the numbers of closed and open questions under each other's name. Its "open accuracy" needs a list of
candidates that was never released and is left out. `closed_fixed` and `recall_fixed` are the repaired rules.

Predictions (`answers`): the answer file of its `model_vqa_med.py`, JSON Lines in the order of the test file, each
{"question_id", "prompt": <question, perhaps with the options behind it>, "text": <output>, ...}. Its ids are those of
its own conversion, so rows are matched by order and their question is checked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.predictions import read_lines
from mmreason.suites.reference.vqa_words import gold_text, lopsided_shares, sentence_bleu, vqa_normal, word_counts
from mmreason.suites.references import Reference

ORIGIN = "microsoft/LLaVA-Med llava/eval/run_eval.py@b9a98a7"
_YES_NO = re.compile(r"\b(?:yes|no)\b")
_QUARTERS = (0.25, 0.25, 0.25, 0.25)


def is_closed(sample: Sample) -> bool:
    """Closed by the annotation, or where a set has none by the yes/no rule."""
    return sample.metadata.get("answer_type") == "closed"


def _pair(output: str, sample: Sample) -> tuple[str, str]:
    """Output and gold, normalised once; the overlap measures normalise a second time."""
    return vqa_normal(output.lower()), vqa_normal(gold_text(sample).lower())


def _closed(output: str, sample: Sample, rng: random.Random) -> bool | None:
    if not is_closed(sample):
        return None
    said, gold = _pair(output, sample)
    return ("yes" in said or "no" in said) and gold in said


def _closed_pathvqa(output: str, sample: Sample, rng: random.Random) -> bool | None:
    """The PathVQA script kept the old fault: an output with yes or no that lacks the gold is not counted at all."""
    if not is_closed(sample):
        return None
    said, gold = _pair(output, sample)
    if "yes" in said or "no" in said:
        return True if gold in said else None
    return False


def _closed_fixed(output: str, sample: Sample, rng: random.Random) -> bool | None:
    """Words, not letters: the gold's words stand in the output in order, and no opposite polarity beside them."""
    if not is_closed(sample):
        return None
    said, gold = _pair(output, sample)
    if gold in ("yes", "no"):
        return set(_YES_NO.findall(said)) == {gold}
    return bool(gold) and f" {gold} " in f" {said} "


def _open(measure: Callable[[str, str], float]) -> Callable[[str, Sample, random.Random], float | None]:
    """A rule that leaves closed questions out and measures open ones on normalised texts."""

    def score(output: str, sample: Sample, rng: random.Random) -> float | None:
        return None if is_closed(sample) else measure(*_pair(output, sample))

    return score


def _shares(said: str, gold: str) -> tuple[float, float, float]:
    return lopsided_shares(word_counts(vqa_normal(said)), word_counts(vqa_normal(gold)))


def _exact(said: str, gold: str) -> float:
    """Distinct gold words found, over all words of the output; the original calls this exact match."""
    words = word_counts(vqa_normal(said))
    found = sum(word in words for word in word_counts(vqa_normal(gold)))
    return found / words.total() if words else 0.0


def _recall_fixed(said: str, gold: str) -> float:
    """Each word counts as often as both sides have it."""
    words = word_counts(vqa_normal(gold))
    return (words & word_counts(vqa_normal(said))).total() / words.total() if words else 0.0


def _bleu(weights: tuple[float, ...]) -> Callable[[str, str], float]:
    return lambda said, gold: sentence_bleu(gold.lower().split(), said.lower().split(), weights)


closed = Reference(ORIGIN, _closed)
closed_pathvqa = Reference("microsoft/LLaVA-Med llava/eval/run_eval_pvqa.py@b9a98a7", _closed_pathvqa)
closed_fixed = Reference(f"{ORIGIN}, words in place of substrings", _closed_fixed)
recall = Reference(ORIGIN, _open(lambda said, gold: _shares(said, gold)[2]))
precision = Reference(ORIGIN, _open(lambda said, gold: _shares(said, gold)[1]))
f1 = Reference(ORIGIN, _open(lambda said, gold: _shares(said, gold)[0]))
exact = Reference(ORIGIN, _open(_exact))
recall_fixed = Reference(f"{ORIGIN}, counts of both sides", _open(_recall_fixed))
bleu = Reference(ORIGIN, _open(_bleu(_QUARTERS)))
bleu_1 = Reference(ORIGIN, _open(_bleu((1.0, 0.0, 0.0, 0.0))))
bleu_2 = Reference(ORIGIN, _open(_bleu((0.0, 1.0, 0.0, 0.0))))
bleu_3 = Reference(ORIGIN, _open(_bleu((0.0, 0.0, 1.0, 0.0))))


def answers(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Sample id -> output of an answer file, by order. Raises UserError where a row asks another question."""
    rows = read_lines(path)
    if len(rows) != len(samples):
        raise UserError(
            f"{path} has {len(rows)} answers, the suite {len(samples)} questions; LLaVA-Med needs all, in order"
        )
    for (where, row), sample in zip(rows, samples, strict=True):
        if not {"prompt", "text"} <= set(row) or not isinstance(row["text"], str):
            raise UserError(f"{where} has {sorted(row)}, expected the text fields 'prompt' and 'text'")
        question = " ".join(str(sample.metadata["question"]).split())
        if not " ".join(str(row["prompt"]).split()).startswith(question):
            raise UserError(f"{where} asks {row['prompt']!r:.120}, the suite's question here is {question!r:.120}")
    return {sample.id: [row["text"]] for (_, row), sample in zip(rows, samples, strict=True)}
