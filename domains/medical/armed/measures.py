"""Open answers beside their references, for the reproduction: words, wordings, sides.

The paper reports BLEU-1 and ROUGE-1 (arXiv 2508.12957; second hand), which also are its reward, so equal words and any
accepted wording, which take no part in it, stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.project import load_module
from mmreason.rewards.extract import read_answer
from mmreason.rewards.words import normalise

rewards = load_module(Path(__file__).parent / "rewards.py")
conflict = rewards.conflict

COLUMNS = {
    "exact": "exact",
    "right": "right in any wording",
    "bleu_1": "BLEU-1",
    "rouge_1": "ROUGE-1",
    "wrong_side": "wrong side",
}
Record = Mapping[str, Any]


def is_open(record: Record) -> bool:
    """Whether a scored question is an open one by its annotation."""
    return record["doc"]["metadata"].get("answer_type") == "open"


def answer(record: Record) -> dict[str, float]:
    """The measures of one scored question, means over its answers; `wrong_side` where the reference names one side."""
    runs = [_answer(run, record) for run in record["runs"]]
    return {name: fmean(run[name] for run in runs) for name in runs[0]}


def _answer(run: Record, record: Record) -> dict[str, float]:
    gold = str(record["doc"]["metadata"].get("answer", record["target"]))
    said = (read_answer(run["output"], lenient=True).text or "").strip()
    mine, theirs = conflict.plain_words(said), conflict.plain_words(gold)
    found = {
        "exact": float(bool(said) and normalise(said) == normalise(gold)),
        "right": float(run["credit"]),
        "bleu_1": rewards.bleu1(mine, theirs),
        "rouge_1": rewards.rouge1(mine, theirs),
    }
    if conflict.has_side(gold):
        found["wrong_side"] = float(conflict.Conflict.LATERALITY in conflict.conflicts(said, gold))
    return found


def summary(records: Iterable[Record]) -> dict[str, float]:
    """Means over questions; a measure that no question has is left out."""
    found = [answer(record) for record in records]
    columns = {name: [one[name] for one in found if name in one] for name in COLUMNS}
    return {name: fmean(values) for name, values in columns.items() if values}
