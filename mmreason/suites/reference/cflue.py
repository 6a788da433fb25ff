"""CFLUE: its own extractor with accuracy, weighted F1 and overlap of explanations; DianJin-R1's evaluation and reward.

Predictions (`results`): the JSON array that the original writes, the questions in order, each with "model_response".
"""

from __future__ import annotations

import importlib.util
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mmreason.errors import UserError
from mmreason.records import Sample
from mmreason.suites.reference.forms import field, named, objects, text
from mmreason.suites.references import Reference, Scored

ORIGIN = "aliyun/cflue exec_knowledge_eval.py, utils/{extract_choice,compute_score}.py@ff28c38"
DIANJIN = "aliyun/qwen-dianjin DianJin-R1/src/evaluate/eval.py@fd9b511"
NONE = "X"
"""What the original reads where it finds no letters."""

_NEAR_BOX = re.compile(r"\\boxed\{(.*?)\}", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_SEPARATORS = re.compile(r"[、,， ]")
_ANSWER = re.compile(r"答案[是：:]+([A-F]+)")
_LEADING = re.compile(r"[A-F]+")
_LETTERS = re.compile(r"[A-G]")


def read_letters(reply: str) -> str:
    """The first of exactly two lines, else all; the first "答案" with letters, else leading ones.

    Order and repeats are kept; "X" where nothing is found, as for every boxed reply.
    """
    lines = reply.split("\n")
    said = _SEPARATORS.sub("", (lines[0] if len(lines) == 2 else reply).strip())
    found = _ANSWER.search(said)
    if found:
        return found.group(1)
    leading = _LEADING.match(said)
    return leading.group() if leading else NONE


def dianjin_letters(output: str) -> str | None:
    """Letters A-G anywhere in the last box of the whole output, sorted and without repeats; None without a box."""
    boxes = _NEAR_BOX.findall(output)
    return "".join(sorted(set(_LETTERS.findall(boxes[-1])))) if boxes else None


def dianjin_reward(output: str, gold: str) -> float:
    """DianJin-R1's released reward with its faults: pairs are only counted, empty letter sets are equal."""
    for tag in ("think", "answer"):
        if len(re.findall(f"<{tag}>", output)) != 1 or len(re.findall(f"</{tag}>", output)) != 1:
            return 0.0
    block = _ANSWER_BLOCK.search(output)
    boxes = _NEAR_BOX.findall(block.group(1)) if block else []
    if not boxes:
        return 0.0
    return float(set(_LETTERS.findall(boxes[-1])) == set(_LETTERS.findall(gold)))


def _dianjin(output: str, sample: Sample, rng: random.Random) -> bool:
    return dianjin_letters(output) == "".join(sorted(set(_LETTERS.findall(sample.answer.gold))))


def _extractor(output: str, sample: Sample, rng: random.Random) -> bool:
    return read_letters(output) == sample.answer.gold


def weighted_f1(gold: Sequence[str], said: Sequence[str]) -> float:
    """F1 of each gold string as a class, averaged by how often it is the gold."""
    wanted, given = Counter(gold), Counter(said)
    hits = Counter(one for one, other in zip(gold, said, strict=True) if one == other)
    parts = (2 * hits[label] / (count + given[label]) * count for label, count in wanted.items())
    return sum(parts) / len(gold) if gold else 0.0


def explanation(reply: str) -> str:
    """What of a reply is compared with the explanation: the second of exactly two lines, else all."""
    lines = reply.strip().split("\n")
    return lines[1].replace("解析：", "") if len(lines) == 2 else reply


def explanation_overlap(scored: Sequence[Scored]) -> dict[str, float]:
    """BLEU-1 and BLEU-4 of the explanations in jieba's words, over questions that have one; nothing without jieba."""
    kept = [
        (one.sample.evidence["explanation"], one.output or "") for one in scored if "explanation" in one.sample.evidence
    ]
    if not kept or importlib.util.find_spec("jieba") is None or importlib.util.find_spec("sacrebleu") is None:
        return {}
    import jieba
    from sacrebleu.metrics.bleu import BLEU

    jieba.setLogLevel("WARNING")  # it tells of its dictionary otherwise
    wanted = [" ".join(jieba.lcut(gold)) for gold, _ in kept]
    said = [" ".join(jieba.lcut(explanation(reply))) for _, reply in kept]
    score = BLEU().corpus_score(said, [wanted])
    return {"bleu_1": score.precisions[0] / 100, "bleu_4": score.score / 100}


def total(scored: Sequence[Scored]) -> dict[str, float]:
    """Accuracy, weighted F1 over answer strings, overlap of explanations."""
    gold = [one.sample.answer.gold for one in scored]
    said = [NONE if one.output is None else read_letters(one.output) for one in scored]
    right = sum(one.value or 0.0 for one in scored) / len(scored) if scored else 0.0
    return {"acc": right, "weighted_f1": weighted_f1(gold, said), **explanation_overlap(scored)}


dianjin = Reference(DIANJIN, _dianjin)
extractor = Reference(ORIGIN, _extractor, total=total)


def results(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """The original's results file: by id where rows have one, else by place. Raises UserError for another number."""
    rows = objects(path)
    by_id = all("id" in row for _, row in rows)
    if not by_id and len(rows) != len(samples):
        raise UserError(f"{path} has {len(rows)} rows without ids, the suite asks {len(samples)} questions")
    names = [row["id"] for _, row in rows] if by_id else [sample.source.row for sample in samples]
    answers = (text(field(where, row, "model_response")) for where, row in rows)
    return named(samples, ((where, name, said) for (where, _), name, said in zip(rows, names, answers, strict=True)))
